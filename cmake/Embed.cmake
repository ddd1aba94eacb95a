# hg_embed(<out var> <file> <symbol>): a C file that holds the bytes of <file> as
# `const unsigned char <symbol>[]` and `const size_t <symbol>_size`.
function(hg_embed out file symbol)
  set(c "${CMAKE_CURRENT_BINARY_DIR}/${symbol}.c")
  add_custom_command(OUTPUT "${c}"
    COMMAND ${CMAKE_COMMAND} -DIN=${file} -DOUT=${c} -DSYMBOL=${symbol} -P ${PROJECT_SOURCE_DIR}/cmake/EmbedFile.cmake
    DEPENDS "${file}" "${PROJECT_SOURCE_DIR}/cmake/EmbedFile.cmake" VERBATIM)
  set(${out} "${c}" PARENT_SCOPE)
endfunction()
