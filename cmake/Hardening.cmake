# Hardening of release builds, and the sanitizers of the others.
add_library(hg_hardening INTERFACE)
# No contraction of a * b + c beyond what the source says: results must be the same with every compiler.
target_compile_options(hg_hardening INTERFACE -ffp-contract=off -fno-math-errno -fstack-protector-strong)
target_compile_definitions(hg_hardening INTERFACE _GNU_SOURCE)
target_link_options(hg_hardening INTERFACE -Wl,-z,relro,-z,now,-z,noexecstack)
include(CheckPIESupported)
check_pie_supported(LANGUAGES C)
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  target_compile_options(hg_hardening INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
endif()
if(HG_SANITIZE)
  target_compile_options(hg_hardening INTERFACE -fsanitize=${HG_SANITIZE} -fno-omit-frame-pointer
    -fno-sanitize-recover=all)
  target_link_options(hg_hardening INTERFACE -fsanitize=${HG_SANITIZE})
endif()
# Without it libFuzzer would see the branches of its own target only, and search the library blindly.
if(HG_FUZZ)
  target_compile_options(hg_hardening INTERFACE -fsanitize=fuzzer-no-link)
endif()
