# What `make install` and `make deb` put beside the program: manual page and completion (made from the option tables), pkg-config file, recipes.
if(NOT CMAKE_CROSSCOMPILING AND NOT HG_SANITIZE)
  add_custom_command(OUTPUT ${PROJECT_BINARY_DIR}/higgins.1 ${PROJECT_BINARY_DIR}/higgins.bash VERBATIM
    COMMAND $<TARGET_FILE:higgins> --man > ${PROJECT_BINARY_DIR}/higgins.1
    COMMAND $<TARGET_FILE:higgins> --completion > ${PROJECT_BINARY_DIR}/higgins.bash
    DEPENDS higgins)
  add_custom_target(hg_manual ALL DEPENDS ${PROJECT_BINARY_DIR}/higgins.1 ${PROJECT_BINARY_DIR}/higgins.bash)
  install(FILES ${PROJECT_BINARY_DIR}/higgins.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
  install(FILES ${PROJECT_BINARY_DIR}/higgins.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME higgins)
endif()

configure_file(${PROJECT_SOURCE_DIR}/cmake/higgins.pc.in ${PROJECT_BINARY_DIR}/higgins.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/higgins.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/recipes DESTINATION ${CMAKE_INSTALL_DATADIR}/higgins)
install(FILES ${PROJECT_SOURCE_DIR}/README.md DESTINATION ${CMAKE_INSTALL_DOCDIR})

set(CPACK_PACKAGE_NAME higgins)
set(CPACK_PACKAGE_CONTACT "Higgins maintainers <maintainers@users.noreply.higgins.example>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "the whole life of a language model in one program")
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_STRIP_FILES ON)
include(CPack)
