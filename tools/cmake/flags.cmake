# Compiler flags: warnings for our own targets, sanitizers for everything in the build.
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
add_compile_options(-fno-semantic-interposition)  # else no function with external linkage is inlined in such code
find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

add_library(lastcall_warnings INTERFACE)
target_compile_options(lastcall_warnings INTERFACE
  -Wall -Wextra -Wconversion -Wshadow -Wnon-virtual-dtor -Werror
  # g++ 12 sees an overlap in "literal" + std::string that is not there (its bug 105651, fixed in 13).
  $<$<AND:$<CXX_COMPILER_ID:GNU>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,13>>:-Wno-restrict>)

set(LASTCALL_SANITIZE "" CACHE STRING "list for -fsanitize=, empty for none")
if(LASTCALL_SANITIZE)
  add_compile_options(-fsanitize=${LASTCALL_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${LASTCALL_SANITIZE})
endif()
