# The installed CMake package of Calque: target calque::calque and what it needs.
include(CMakeFindDependencyMacro)
find_dependency(Threads)
find_dependency(fmt)
include(${CMAKE_CURRENT_LIST_DIR}/calque_targets.cmake)
