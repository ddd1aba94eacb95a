#include "harness/test.h"
#include "base/file.h"
#include "data/corpus.h"
#include "data/kind.h"
#include "data/licence.h"
#include "data/mail.h"
#include "data/mime.h"
#include "data/reader.h"
#include "data/stream.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static hg_bytes bytes(const char *s)
{
    return (hg_bytes){s, strlen(s)};
}

static const char *put(const char *name, const char *s, size_t n)
{
    hg_err e;
    CHECK_OK(hg_file_write(test_path(name), s, n, &e), e);
    return test_path(name);
}

static const char *put_text(const char *name, const char *s)
{
    return put(name, s, strlen(s));
}

static hg_reader *open_reader(const char *path, const char *field)
{
    hg_reader *r = NULL;
    hg_err e;
    hg_reader_options o = {.text_field = field};
    CHECK_OK(hg_reader_open(&r, path, &o, &e), e);
    return r;
}

/* The next document has this text and source's ending. */
static void check_next(hg_reader *r, const char *text, const char *source_end)
{
    hg_doc doc;
    bool has;
    hg_err e;
    char copy[256];
    CHECK_OK(hg_reader_next(r, &doc, &has, &e), e);
    CHECK(has);
    CHECK(doc.text.n < sizeof copy);
    memcpy(copy, doc.text.p, doc.text.n);
    copy[doc.text.n] = '\0';
    CHECK_STR(copy, text);
    CHECK(doc.source.n >= strlen(source_end));
    CHECK(memcmp(doc.source.p + doc.source.n - strlen(source_end), source_end,
                 strlen(source_end)) == 0);
}

static void check_end(hg_reader *r)
{
    hg_doc doc;
    bool has = true;
    hg_err e;
    CHECK_OK(hg_reader_next(r, &doc, &has, &e), e);
    CHECK(!has);
    hg_reader_close(r);
}

static void check_refused(hg_reader *r, hg_status want, const char *sentence)
{
    hg_doc doc;
    bool has;
    hg_err e;
    CHECK_EQ(hg_reader_next(r, &doc, &has, &e), want);
    CHECK_HAS(e.msg, sentence);
}

TEST(kinds_are_told_by_name_and_by_content)
{
    CHECK_EQ(hg_kind_guess("a/x.txt", bytes("hi")), HG_KIND_TEXT);
    CHECK_EQ(hg_kind_guess("a/x.HTML.gz", bytes("hi")), HG_KIND_HTML);
    CHECK_EQ(hg_kind_guess("a/x.jsonl.zst", bytes("{}")), HG_KIND_JSONL);
    CHECK_EQ(hg_kind_guess("a/x.c", bytes("int x;")), HG_KIND_OTHER);
    CHECK_EQ(hg_kind_guess("a/README", bytes("Words.")), HG_KIND_TEXT);
    CHECK_EQ(hg_kind_guess("a/page", bytes("\n <!DOCTYPE html><p>")), HG_KIND_HTML);
    CHECK_EQ(hg_kind_guess("a/inbox", bytes("From a@b Mon\nFrom: a\n\nx")), HG_KIND_MBOX);
    CHECK_EQ(hg_kind_guess("a/msg", bytes("Received: by x\nSubject: y\n\nz")), HG_KIND_MAIL);
    CHECK_EQ(hg_kind_guess("a/data", bytes("{\"text\": 1}\n")), HG_KIND_JSONL);
    CHECK_EQ(hg_kind_guess("a/run", bytes("#!/bin/sh\n")), HG_KIND_OTHER);
    CHECK_EQ(hg_kind_guess("a/ls.1", bytes(".TH LS 1\n")), HG_KIND_OTHER);
    CHECK_EQ(hg_kind_guess("a/x.txt", (hg_bytes){"a\0b", 3}), HG_KIND_BINARY);
    CHECK_EQ(hg_kind_guess("a/doc", bytes("%PDF-1.4")), HG_KIND_BINARY);
    CHECK_EQ(hg_kind_guess("a/empty", bytes("")), HG_KIND_TEXT);
}

TEST(json_lines_are_read_and_bad_ones_named)
{
    hg_reader *r = open_reader(
        put_text("a.jsonl",
                 "\xef\xbb\xbf{\"text\":\"one\",\"url\":\"http://x/1\"}\r\n"
                 "\n{\"body\":\"two\"}\n{\"text\":}\n[1]\n{\"n\":1}\n{\"content\":\"\"}\n"
                 "{\"content\":\"three\"}"),
        NULL);
    check_next(r, "one", "http://x/1");
    check_next(r, "two", "a.jsonl:3");
    check_refused(r, HG_E_FORMAT, "a.jsonl, line 4: column 9: not JSON");
    check_refused(r, HG_E_FORMAT, "a.jsonl, line 5: an array instead of an object");
    check_refused(r, HG_E_FORMAT, "a.jsonl, line 6: no text in \"text\", \"content\" or \"body\"");
    check_next(r, "", "a.jsonl:7");
    check_next(r, "three", "a.jsonl:8");
    check_end(r);
    r = open_reader(test_path("a.jsonl"), "url");
    check_next(r, "http://x/1", "http://x/1");
    check_refused(r, HG_E_FORMAT, "no text in \"url\"; name the field that holds it");
    hg_reader_close(r);
}

TEST(a_line_over_the_limit_is_passed_over)
{
    hg_buf b = {0};
    hg_buf_puts(&b, "{\"text\":\"");
    while (b.n <= HG_MAX_RECORD) hg_buf_puts(&b, "a long line that does not want to end; ");
    hg_buf_puts(&b, "\"}\n{\"text\":\"short\"}\n");
    hg_reader *r = open_reader(put("long.jsonl", b.p, b.n), NULL);
    hg_buf_free(&b);
    check_refused(r, HG_E_LIMIT, "long.jsonl, line 1 is longer than 16777216 bytes");
    check_next(r, "short", "long.jsonl:2");
    check_end(r);
}

TEST(long_texts_come_in_parts_that_make_up_the_whole)
{
    hg_buf b = {0}, got = {0};
    for (int i = 0; b.n < 5 * HG_PART_BYTES; i++)
        hg_buf_printf(&b, "Paragraph %d of a long book\xe2\x80\xa6%s", i,
                      i % 7 == 0 ? "\n\n" : "\n");
    hg_reader *r = open_reader(put("book.txt", b.p, b.n), NULL);
    hg_err e;
    for (uint32_t k = 1;; k++) {
        hg_doc doc;
        bool has;
        CHECK_OK(hg_reader_next(r, &doc, &has, &e), e);
        if (!has) break;
        CHECK_EQ(doc.part, k);
        CHECK(doc.text.n <= HG_PART_BYTES);
        if (got.n + doc.text.n < b.n) CHECK(memcmp(doc.text.p + doc.text.n - 2, "\n\n", 2) == 0);
        hg_buf_put(&got, doc.text.p, doc.text.n);
    }
    CHECK_EQ(got.n, b.n);
    CHECK(memcmp(got.p, b.p, b.n) == 0);
    hg_reader_close(r);
    hg_buf_free(&b);
    hg_buf_free(&got);
}

TEST(a_text_without_any_space_is_cut_between_characters)
{
    hg_buf b = {0};
    hg_doc doc;
    bool has;
    hg_err e;
    hg_buf_putc(&b, 'x');
    while (b.n < HG_PART_BYTES + 10) hg_buf_puts(&b, "\xe6\xbc\xa2");
    hg_reader *r = open_reader(put("han.txt", b.p, b.n), NULL);
    CHECK_OK(hg_reader_next(r, &doc, &has, &e), e);
    CHECK_EQ((doc.text.n - 1) % 3, 0);
    CHECK(memchr(doc.text.p, '\xef', doc.text.n) == NULL);
    hg_reader_close(r);
    hg_buf_free(&b);
}

TEST(text_in_latin1_is_read_even_where_it_begins_in_ascii)
{
    hg_buf b = {0};
    for (int i = 0; i < 20000; i++) hg_buf_puts(&b, "plain ascii text\n");
    hg_buf_puts(&b, "caf\xe9\n");
    hg_reader *r = open_reader(put("late.txt", b.p, b.n), NULL);
    hg_doc doc;
    bool has;
    hg_err e;
    CHECK_OK(hg_reader_next(r, &doc, &has, &e), e);
    CHECK(memcmp(doc.text.p + doc.text.n - 6, "caf\xc3\xa9\n", 6) == 0);
    check_end(r);
    hg_buf_free(&b);
    r = open_reader(put("wide.txt", "\xff\xfeh\0i\0", 6), NULL);
    check_next(r, "hi", "wide.txt");
    check_end(r);
}

TEST(files_that_hold_no_documents_say_why)
{
    hg_reader *r = NULL;
    hg_err e;
    CHECK_EQ(hg_reader_open(&r, put("x.png", "\x89PNG\0\0", 6), NULL, &e), HG_E_UNSUPPORTED);
    CHECK_HAS(e.msg, "x.png: binary");
    CHECK(r == NULL);
    CHECK_EQ(hg_reader_open(&r, put_text("x.py", "print()"), NULL, &e), HG_E_UNSUPPORTED);
    CHECK_HAS(e.msg, "x.py: not text for reading");
    CHECK_EQ(hg_reader_open(&r, test_path("none"), NULL, &e), HG_E_MISSING);
}

static const char gz_hello[] = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xcb\x48\xcd\xc9\xc9\xe7"
                               "\x02\x00\x20\x30\x3a\x36\x06\x00\x00\x00";

TEST(gzip_members_follow_each_other_and_damage_is_said)
{
    char two[52];
    memcpy(two, gz_hello, 26);
    memcpy(two + 26, gz_hello, 26);
    hg_reader *r = open_reader(put("two.txt.gz", two, 52), NULL);
    check_next(r, "hello\nhello\n", "two.txt.gz");
    check_end(r);
    r = open_reader(put("cut.txt.gz", two, 40), NULL);
    check_next(r, "hello\nhel", "cut.txt.gz"); /* all that can be had */
    check_refused(r, HG_E_FORMAT, "damaged gzip data");
    hg_reader_close(r);
    two[12] ^= 0x55;
    hg_reader *none = NULL;
    hg_err e;
    CHECK_EQ(hg_reader_open(&none, put("bad.txt.gz", two, 26), NULL, &e), HG_E_FORMAT);
    CHECK_HAS(e.msg, "damaged gzip data");
}

static const char message[] =
    "From: A <a@example.org>\r\nSubject: =?UTF-8?Q?Caf=C3=A9?= =?iso-8859-1?B?6Q==?= plan\r\n"
    "Message-ID: <17@example.org>\r\nDate: Tue, 24 Nov 2026 01:01:02 +0100\r\nMIME-Version: 1.0\r\n"
    "Content-Type: multipart/mixed; boundary=\"out\"\r\n\r\nignored\r\n--out\r\n"
    "Content-Type: multipart/alternative;\r\n boundary=in\r\n\r\n--in\r\n"
    "Content-Type: text/plain; charset=\"iso-8859-1\"\r\nContent-Transfer-Encoding: "
    "quoted-printable\r\n\r\n"
    "Gr=FC=DFe =\r\nund mehr\r\n--in\r\nContent-Type: "
    "text/html\r\n\r\n<p>html</p>\r\n--in--\r\n--out\r\n"
    "Content-Type: text/plain\r\nContent-Disposition: attachment; "
    "filename=x.txt\r\n\r\nattached\r\n--out--\r\n";

TEST(a_multipart_message_gives_its_plain_text)
{
    hg_mail m;
    hg_err e;
    hg_mail_init(&m);
    CHECK_OK(hg_mail_read(&m, bytes(message), &e), e);
    CHECK_STR(m.text.p, "Gr\xc3\xbc\xc3\x9f"
                        "e und mehr\r\n");
    CHECK_STR(m.subject.p, "Caf\xc3\xa9\xc3\xa9 plan");
    CHECK_STR(m.id.p, "17@example.org");
    CHECK_EQ(m.date, 1795478462);
    CHECK_OK(hg_mail_read(&m,
                          bytes("Content-Type: text/html\nContent-Transfer-Encoding: "
                                "base64\n\nPHA+b25seSBodG1sPC9wPg==\n"),
                          &e),
             e);
    CHECK_STR(m.text.p, "only html");
    CHECK_EQ(m.date, -1);
    CHECK_OK(hg_mail_read(&m, bytes(""), &e), e);
    CHECK_EQ(m.text.n, 0);
    hg_mail_free(&m);
}

TEST(mail_dates_are_read_in_their_forms)
{
    CHECK_EQ(hg_mail_date(bytes("Thu, 1 Jan 1970 00:00:00 +0000")), 0);
    CHECK_EQ(hg_mail_date(bytes("29 Feb 2000 12:30 GMT")), 951827400);
    CHECK_EQ(hg_mail_date(bytes("Fri, 31 Dec 99 23:59:59 -0000")), 946684799);
    CHECK_EQ(hg_mail_date(bytes("yesterday")), -1);
    CHECK_EQ(hg_mail_date(bytes("32 Jan 2000 00:00:00")), -1);
    CHECK_EQ(hg_mail_date(bytes("")), -1);
}

TEST(an_mbox_is_cut_at_its_from_lines)
{
    hg_reader *r = open_reader(
        put_text("in.mbox",
                 "From a@b Mon Jan  1\nMessage-ID: <1@x>\nSubject: s\n\nFirst.\n>From here.\n\n"
                 "From c@d Tue Jan  2\nSubject: t\n\nSecond.\nFrom no empty line before.\n"),
        NULL);
    check_next(r, "First.\nFrom here.\n\n", "in.mbox#1@x");
    check_next(r, "Second.\nFrom no empty line before.\n", "in.mbox#2");
    check_end(r);
}

TEST(licences_are_read_where_they_are_stated)
{
    hg_buf b = {0};
    hg_bytes s = hg_licence_spdx(bytes("<!-- SPDX-License-Identifier: CC-BY-4.0 -->\n# T"));
    CHECK(s.n == 9 && memcmp(s.p, "CC-BY-4.0", 9) == 0);
    CHECK_EQ(hg_licence_spdx(bytes("no licence")).n, 0);
    hg_licence_parse_debian(&b, bytes("Format: https://x\nSource: y\n\nFiles: debian/*\nCopyright: "
                                      "z\nLicense: GPL-3+\n text\n\n"
                                      "Files: *\nLicense: GFDL-1.3+\n"));
    CHECK_STR(b.p, "GFDL-1.3+");
    hg_buf_clear(&b);
    hg_licence_parse_debian(&b, bytes("It is free; see /usr/share/common-licenses/GPL-2.\nAlso "
                                      "`/usr/share/common-licenses/LGPL'."));
    CHECK_STR(b.p, "GPL-2 and LGPL");
    hg_buf_clear(&b);
    hg_licence_parse_debian(&b, bytes("All rights reserved."));
    CHECK_EQ(b.n, 0);
    hg_buf_free(&b);
}

TEST(licences_of_packages_are_found_above_their_files)
{
    hg_licence_cache c = {0};
    hg_err e;
    char path[512];
    (void)snprintf(path, sizeof path, "%s/usr/share/doc/pkg/html", test_folder());
    CHECK_OK(hg_mkdirs(path, &e), e);
    (void)put_text("usr/share/doc/pkg/copyright", "Format: x\n\nFiles: *\nLicense: CC-BY-SA-3.0\n");
    hg_bytes s = hg_licence_debian(&c, test_path("usr/share/doc/pkg/html/a.html"));
    CHECK(s.n == 12 && memcmp(s.p, "CC-BY-SA-3.0", 12) == 0);
    CHECK_EQ(hg_licence_debian(&c, test_path("usr/share/doc/other/a.html")).n, 0);
    CHECK_EQ(hg_licence_debian(&c, "/home/x/a.html").n, 0);
    hg_licence_cache_free(&c);
}

TEST(a_corpus_is_read_from_files_in_the_order_of_their_paths)
{
    hg_err e;
    hg_corpus *c = NULL;
    hg_doc doc;
    bool has;
    char print[65], again[65];
    CHECK_OK(hg_mkdirs(test_path("in/b"), &e), e);
    (void)put_text("in/c.txt", "third");
    (void)put_text("in/a.md", "first");
    (void)put_text("in/b/x.jsonl", "{\"text\":\"second\"}\n{\"text\":\"\"}\n");
    (void)put_text("in/b/y.py", "print()");
    const char *paths[] = {test_path("in")};
    CHECK_OK(hg_corpus_open(&c, paths, 1, &e), e);
    for (int round = 0; round < 2; round++) {
        static const char *const want[] = {"first", "second", "third"};
        for (int i = 0; i < 3; i++) {
            CHECK_OK(hg_corpus_next(c, &doc, &has, &e), e);
            CHECK(has && doc.text.n == strlen(want[i]) &&
                  memcmp(doc.text.p, want[i], doc.text.n) == 0);
        }
        CHECK_OK(hg_corpus_next(c, &doc, &has, &e), e);
        CHECK(!has);
        CHECK_EQ(hg_corpus_bytes_done(c), hg_corpus_bytes_total(c));
        CHECK_OK(hg_corpus_rewind(c, &e), e);
    }
    hg_corpus_fingerprint(c, print);
    hg_corpus_close(c);
    (void)put_text("in/c.txt", "other length");
    CHECK_OK(hg_corpus_open(&c, paths, 1, &e), e);
    hg_corpus_fingerprint(c, again);
    CHECK(strcmp(print, again) != 0);
    hg_corpus_close(c);
    paths[0] = test_path("nowhere");
    CHECK_EQ(hg_corpus_open(&c, paths, 1, &e), HG_E_MISSING);
    CHECK(c == NULL);
}
