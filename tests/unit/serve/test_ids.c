/* What ids are made of and how paths are taken apart; what readers of JSON share. */
#include "harness/test.h"
#include "serve/ids.h"
#include "serve/json_read.h"

#include <string.h>

TEST(an_id_has_its_prefix_and_letters_that_differ)
{
    char one[40], other[40], small[8];

    hg_id_make(one, sizeof one, "file-", 24);
    hg_id_make(other, sizeof other, "file-", 24);
    CHECK_EQ(strlen(one), 29);
    CHECK(strncmp(one, "file-", 5) == 0 && strcmp(one, other) != 0);
    CHECK_EQ(strspn(one + 5, "abcdefghijklmnopqrstuvwxyz234567"), 24);
    hg_id_make(small, sizeof small, "file-", 24);
    CHECK_EQ(strlen(small), 7);
}

TEST(the_rest_of_a_path_is_an_id_and_what_stands_behind_it)
{
    char id[8];

    CHECK_STR(hg_id_split((hg_bytes){"abc/content", 11}, id, sizeof id), "content");
    CHECK_STR(id, "abc");
    CHECK_STR(hg_id_split((hg_bytes){"abcdefg", 7}, id, sizeof id), "");
    CHECK_STR(id, "abcdefg");
    CHECK_STR(hg_id_split((hg_bytes){"abcdefgh/x", 10}, id, sizeof id), "x");
    CHECK_STR(id, "");
}

TEST(a_member_that_is_null_is_absent)
{
    json_t *in = json_pack("{s:n,s:s}", "a", "b", "text"), *out = json_object();
    hg_buf b = {0};

    CHECK(hg_tree_get(in, "a") == NULL && hg_tree_get(in, "c") == NULL);
    CHECK(hg_tree_is(hg_tree_get(in, "b"), "text") && !hg_tree_is(NULL, "text"));
    hg_tree_copy(out, "x", in, "a");
    hg_tree_copy(out, "y", in, "b");
    hg_buf_puts(&b, "z");
    hg_tree_set(out, "z", hg_tree_text(&b));
    CHECK_EQ(json_object_size(out), 2);
    CHECK(hg_tree_is(json_object_get(out, "y"), "text") && hg_tree_is(hg_tree_get(out, "z"), "z"));
    CHECK(b.p == NULL);
    json_decref(in);
    json_decref(out);
}
