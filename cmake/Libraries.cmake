# The libraries of others that Higgins stands on, all from Debian (tools/setup.sh installs them).
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(HG_DEPS REQUIRED IMPORTED_TARGET
  jansson>=2.13 yaml-0.1 libpcre2-8 libutf8proc zlib libzstd libxxhash libsodium libmicrohttpd sqlite3)
# Not every Debian release ships a .pc file for gumbo with the same name; the library itself has not moved.
find_library(HG_GUMBO gumbo REQUIRED)
find_path(HG_GUMBO_INCLUDE gumbo.h REQUIRED)
pkg_check_modules(HG_EDIT REQUIRED IMPORTED_TARGET libedit)

# For webhooks, and for training data that is named by a URL; without it both are refused.
pkg_check_modules(HG_CURL IMPORTED_TARGET libcurl>=7.85)

add_library(hg_libraries INTERFACE)
if(HG_CURL_FOUND)
  target_link_libraries(hg_libraries INTERFACE PkgConfig::HG_CURL)
  target_compile_definitions(hg_libraries INTERFACE HG_HAS_CURL)
endif()
target_link_libraries(hg_libraries INTERFACE PkgConfig::HG_DEPS ${HG_GUMBO} Threads::Threads m)
target_include_directories(hg_libraries SYSTEM INTERFACE ${HG_GUMBO_INCLUDE})
