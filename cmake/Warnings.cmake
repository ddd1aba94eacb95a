# The warnings every line of ours is built with.
add_library(hg_warnings INTERFACE)
target_compile_options(hg_warnings INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wvla
  -Wmissing-prototypes -Wcast-qual)
if(HG_WERROR)
  target_compile_options(hg_warnings INTERFACE -Werror)
endif()
