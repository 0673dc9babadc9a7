# How the library is built for the fuzz targets: libFuzzer counts the branches that an input takes, the sanitizers
# say when one does harm.
include(CheckCSourceCompiles)

set(CMAKE_REQUIRED_FLAGS -fsanitize=fuzzer)
check_c_source_compiles("int LLVMFuzzerTestOneInput(const char *data, unsigned long size);
  int LLVMFuzzerTestOneInput(const char *data, unsigned long size) { return !data && size; }" OFFRAMP_LIBFUZZER)
unset(CMAKE_REQUIRED_FLAGS)
if(NOT OFFRAMP_LIBFUZZER)
  message(FATAL_ERROR "OFFRAMP_FUZZ needs clang with libFuzzer (Debian: clang, libclang-rt-14-dev), "
    "found ${CMAKE_C_COMPILER}: configure with -DCMAKE_C_COMPILER=clang")
endif()

target_compile_options(offramp_flags INTERFACE -fsanitize=fuzzer-no-link,address,undefined
  -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g -Wno-unknown-pragmas)
target_link_options(offramp_flags INTERFACE -fsanitize=fuzzer,address,undefined)
target_compile_definitions(offramp_flags INTERFACE OFFRAMP_SANITIZE=1)
