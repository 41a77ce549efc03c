# The Debian package: `cpack -G DEB` in the build folder. Its dependencies are those that dpkg-shlibdeps reads from the
# programs, library and plugins (it comes with the package dpkg-dev).
set(CPACK_PACKAGE_NAME calque)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Tracing JIT compiler for tensor programs")
set(CPACK_PACKAGE_DESCRIPTION "Calque runs tensor programs in C++20, records what they do and from then on runs fused \
native code in its place, with the same bits. This package holds the library, its headers and the program calque.")
set(CPACK_PACKAGE_CONTACT "The Calque authors <calque@localhost>")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_GENERATOR DEB)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)  # and with it the call of ldconfig when it is installed
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "g++, cmake | pkgconf")
include(CPack)
