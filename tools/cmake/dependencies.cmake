# Every library lastcall uses, from the system. tools/setup installs them on Debian 12.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(liburing REQUIRED IMPORTED_TARGET liburing>=2.3)
find_package(wslay REQUIRED CONFIG)
find_package(fmt REQUIRED)
find_package(CLI11 REQUIRED)
find_package(nlohmann_json REQUIRED)

# llhttp: a system library of version 9 or later, else the C sources of Debian's node-llhttp, in strict mode.
pkg_check_modules(system_llhttp QUIET IMPORTED_TARGET libllhttp>=9)
add_library(lastcall_llhttp INTERFACE)
if(TARGET PkgConfig::system_llhttp)
  target_link_libraries(lastcall_llhttp INTERFACE PkgConfig::system_llhttp)
  message(STATUS "llhttp: system library ${system_llhttp_VERSION}")
else()
  set(LLHTTP_SOURCES /usr/share/llhttp CACHE PATH "folder with llhttp's api.c, http.c, llhttp.c")
  set(LLHTTP_HEADERS /usr/share/include/llhttp CACHE PATH "folder with llhttp.h")
  if(NOT EXISTS ${LLHTTP_SOURCES}/llhttp.c)
    message(FATAL_ERROR "llhttp not found: install libllhttp-dev (9 or later) or node-llhttp")
  endif()
  add_library(lastcall_llhttp_sources STATIC
    ${LLHTTP_SOURCES}/api.c ${LLHTTP_SOURCES}/http.c ${LLHTTP_SOURCES}/llhttp.c)
  # Without strict mode 8.1.0 accepts several request-smuggling forms; every unit must agree on it.
  target_compile_definitions(lastcall_llhttp_sources PUBLIC LLHTTP_STRICT_MODE=1)
  target_include_directories(lastcall_llhttp_sources SYSTEM PUBLIC ${LLHTTP_HEADERS})
  target_compile_options(lastcall_llhttp_sources PRIVATE -w)
  target_link_libraries(lastcall_llhttp INTERFACE $<BUILD_INTERFACE:lastcall_llhttp_sources>)
  message(STATUS "llhttp: sources in ${LLHTTP_SOURCES}, strict mode")
endif()

# mimalloc belongs to executables only, and never under a sanitizer.
option(LASTCALL_MIMALLOC "link executables with mimalloc" ON)
add_library(lastcall_allocator INTERFACE)
if(LASTCALL_MIMALLOC AND NOT LASTCALL_SANITIZE)
  find_package(mimalloc 2 REQUIRED)
  target_link_libraries(lastcall_allocator INTERFACE mimalloc)
endif()

option(LASTCALL_BUILD_TESTS "build the tests" ON)
option(LASTCALL_BUILD_BENCH "build the benchmarks" ON)
