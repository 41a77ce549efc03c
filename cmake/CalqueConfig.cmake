# The installed CMake package of Calque: the target calque::calque. The library brings what it needs itself.
include(${CMAKE_CURRENT_LIST_DIR}/CalqueTargets.cmake)
