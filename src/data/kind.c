/* Telling documents from everything else that lies in folders. Names are asked first (people know
 * what they have saved), contents where names say nothing: README, copyright, changelog. What holds
 * NULs or many control characters is binary whatever its name. */
#include "data/kind.h"
#include "base/file.h"
#include <string.h>
#include <strings.h>

static const char *const text_ends[] = {"txt",  "text",     "md",  "markdown", "mdown", "rst",
                                        "adoc", "asciidoc", "org", "mkd",      NULL};
static const char *const html_ends[] = {"html", "htm", "xhtml", "shtml", NULL};
static const char *const jsonl_ends[] = {"jsonl", "ndjson", NULL};
static const char *const mbox_ends[] = {"mbox", "mbx", NULL};
static const char *const mail_ends[] = {"eml", NULL};
static const char *const other_ends[] = {
    "c",    "h",       "cc",      "cpp",      "cxx",   "hpp",  "hh",   "py",   "pyi",   "pl",
    "pm",   "rb",      "sh",      "bash",     "zsh",   "csh",  "fish", "js",   "mjs",   "cjs",
    "ts",   "css",     "scss",    "php",      "java",  "kt",   "go",   "rs",   "lua",   "sql",
    "r",    "m",       "f",       "f90",      "el",    "lisp", "scm",  "hs",   "ml",    "mli",
    "tcl",  "awk",     "sed",     "vim",      "json",  "xml",  "xsl",  "xsd",  "dtd",   "svg",
    "yaml", "yml",     "toml",    "ini",      "conf",  "cfg",  "csv",  "tsv",  "po",    "pot",
    "diff", "patch",   "ps",      "eps",      "tex",   "bib",  "sty",  "texi", "log",   "mk",
    "m4",   "am",      "ac",      "in",       "cmake", "asc",  "sig",  "pem",  "key",   "dot",
    "gv",   "desktop", "service", "bz2",      "xz",    "zip",  "tar",  "inv",  "ipynb", "rtf",
    "sgml", "docbook", "omf",     "devhelp2", "glsl",  "s",    "asm",  "spec", "dat",   NULL};

static bool is_one_of(const char *ending, size_t n, const char *const *list)
{
    for (size_t i = 0; list[i] != NULL; i++)
        if (strlen(list[i]) == n && strncasecmp(list[i], ending, n) == 0) return true;
    return false;
}

/* The ending of the name without .gz and .zst; *n 0 when it has none. */
static const char *ending_of(const char *path, size_t *n)
{
    const char *base = hg_path_base(path), *end = base + strlen(base);
    if (hg_path_ends(base, ".gz")) end -= 3;
    if (hg_path_ends(base, ".zst")) end -= 4;
    const char *p = end;
    while (p > base && p[-1] != '.') p--;
    *n = p > base ? (size_t)(end - p) : 0;
    return p;
}

static bool is_binary(hg_bytes head)
{
    size_t odd = 0;
    if (head.n >= 2 && (memcmp(head.p, "\xff\xfe", 2) == 0 || memcmp(head.p, "\xfe\xff", 2) == 0))
        return false; /* UTF-16 */
    if (head.n >= 5 && (memcmp(head.p, "%PDF-", 5) == 0 || memcmp(head.p,
                                                                  "\x7f"
                                                                  "ELF",
                                                                  4) == 0))
        return true;
    for (size_t i = 0; i < head.n; i++) {
        unsigned char c = (unsigned char)head.p[i];
        if (c == 0) return true;
        odd +=
            c < 0x20 && c != '\n' && c != '\r' && c != '\t' && c != '\f' && c != 0x1B && c != '\b';
    }
    return odd * 50 > head.n; /* more than 2% */
}

static bool begins(hg_bytes s, const char *with)
{
    size_t n = strlen(with);
    return s.n >= n && strncasecmp(s.p, with, n) == 0;
}

static bool holds(hg_bytes s, const char *what)
{
    size_t n = strlen(what);
    for (size_t i = 0; i + n <= s.n; i++)
        if (strncasecmp(s.p + i, what, n) == 0) return true;
    return false;
}

/* A message as a mail program saves it: it opens with header fields, one of them a mail's own. */
static bool is_mail(hg_bytes s)
{
    static const char *const field[] = {
        "return-path:", "received:", "message-id:", "mime-version:", "delivered-to:", NULL};
    bool known = false;
    for (size_t i = 0; i < s.n;) {
        const char *line = s.p + i, *nl = memchr(line, '\n', s.n - i);
        size_t n = nl != NULL ? (size_t)(nl - line) : s.n - i;
        i += n + 1;
        if (n == 0 || (n == 1 && *line == '\r')) break;
        if (*line == ' ' || *line == '\t') continue;
        const char *colon = memchr(line, ':', n), *space = memchr(line, ' ', n);
        if (colon == NULL || (space != NULL && space < colon)) return false;
        for (size_t k = 0; field[k] != NULL; k++)
            known = known || begins((hg_bytes){line, n}, field[k]);
    }
    return known;
}

static hg_kind by_content(hg_bytes s)
{
    if (s.n >= 3 && memcmp(s.p, "\xef\xbb\xbf", 3) == 0) s = (hg_bytes){s.p + 3, s.n - 3};
    while (s.n > 0 && (unsigned char)*s.p <= ' ') s = (hg_bytes){s.p + 1, s.n - 1};
    hg_bytes top = {s.p, s.n < 1024 ? s.n : 1024};
    if (begins(s, "<!doctype html") || begins(s, "<html")) return HG_KIND_HTML;
    if (begins(s, "<?xml") || begins(s, "<!--") || begins(s, "<!doctype"))
        return holds(top, "<html") ? HG_KIND_HTML : HG_KIND_OTHER;
    if (begins(s, "{\"")) return HG_KIND_JSONL;
    if (begins(s, "From ") && holds(top, "\nfrom:")) return HG_KIND_MBOX;
    if (is_mail(s)) return HG_KIND_MAIL;
    if (begins(s, "#!") || begins(s, "%!PS") || begins(s, ".\\\"") || begins(s, ".TH ") ||
        begins(s, "'\\\"") || begins(s, ".so "))
        return HG_KIND_OTHER;
    return HG_KIND_TEXT;
}

hg_kind hg_kind_guess(const char *path, hg_bytes head)
{
    size_t n;
    const char *ending = ending_of(path, &n);
    if (is_binary(head)) return HG_KIND_BINARY;
    if (is_one_of(ending, n, html_ends)) return HG_KIND_HTML;
    if (is_one_of(ending, n, jsonl_ends)) return HG_KIND_JSONL;
    if (is_one_of(ending, n, mbox_ends)) return HG_KIND_MBOX;
    if (is_one_of(ending, n, mail_ends)) return HG_KIND_MAIL;
    if (is_one_of(ending, n, other_ends)) return HG_KIND_OTHER;
    hg_kind k = by_content(head);
    /* A text file that opens with {" or with a mail's header is still what its name says. */
    return is_one_of(ending, n, text_ends) && k != HG_KIND_HTML ? HG_KIND_TEXT : k;
}

const char *hg_kind_name(hg_kind k)
{
    static const char *const name[] = {"text", "html", "jsonl", "mbox", "mail", "other", "binary"};
    return (unsigned)k < sizeof name / sizeof *name ? name[k] : "other";
}
