/* What this build is made of: the compiler, and the libraries of others as the running program
 * finds them, so that a report of a fault says what it was seen with. */
#include <higgins/machine.h>

#include <jansson.h>
#include <microhttpd.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <utf8proc.h>
#include <xxhash.h>
#include <yaml.h>
#include <zlib.h>
#include <zstd.h>

#ifndef HG_BUILD_TYPE
#define HG_BUILD_TYPE "unknown"
#endif
#ifndef HG_BUILD_SANITIZERS
#define HG_BUILD_SANITIZERS ""
#endif

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#elif defined(__GNUC__)
#define COMPILER "gcc " __VERSION__
#else
#define COMPILER "unknown"
#endif

static void add(hg_build_info *b, const char *name, const char *version)
{
    hg_library *l = &b->libraries[b->n_libraries++];
    l->name = name;
    /* "10.42 2022-12-11": the date says no more than the version. */
    (void)snprintf(l->version, sizeof l->version, "%.*s", (int)strcspn(version, " "), version);
}

static void add_pcre2(hg_build_info *b)
{
    char version[64] = "";
    if (pcre2_config(PCRE2_CONFIG_VERSION, NULL) < (int)sizeof version)
        (void)pcre2_config(PCRE2_CONFIG_VERSION, version);
    add(b, "pcre2", version);
}

static void add_xxhash(hg_build_info *b)
{
    char version[24];
    unsigned v = XXH_versionNumber(); /* 801 is 0.8.1 */
    (void)snprintf(version, sizeof version, "%u.%u.%u", v / 10000, v / 100 % 100, v % 100);
    add(b, "xxhash", version);
}

void hg_build_describe(hg_build_info *out)
{
    *out = (hg_build_info){
        .compiler = COMPILER, .build_type = HG_BUILD_TYPE, .sanitizers = HG_BUILD_SANITIZERS};
    add(out, "gumbo", "");
    add(out, "jansson", jansson_version_str());
    add(out, "libmicrohttpd", MHD_get_version());
    add(out, "libsodium", sodium_version_string());
    add(out, "libyaml", yaml_get_version_string());
    add_pcre2(out);
    add(out, "sqlite", sqlite3_libversion());
    add(out, "utf8proc", utf8proc_version());
    add_xxhash(out);
    add(out, "zlib", zlibVersion());
    add(out, "zstd", ZSTD_versionString());
}
