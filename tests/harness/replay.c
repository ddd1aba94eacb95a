/* Runs a fuzz target over the files and folders named: how the corpora are replayed where libFuzzer
 * is not built in. */
#include <dirent.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int n_run;

static int replay(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        perror(path);
        return 1;
    }
    if (S_ISDIR(st.st_mode)) {
        DIR *d = opendir(path);
        int bad = d == NULL;
        for (struct dirent *de = d == NULL ? NULL : readdir(d); de != NULL; de = readdir(d)) {
            char sub[PATH_MAX];
            if (de->d_name[0] == '.' ||
                snprintf(sub, sizeof sub, "%s/%s", path, de->d_name) >= (int)sizeof sub)
                continue;
            bad |= replay(sub);
        }
        if (d != NULL) closedir(d);
        return bad;
    }
    FILE *f = fopen(path, "rb");
    uint8_t *data = malloc((size_t)st.st_size + 1);
    if (f == NULL || data == NULL) {
        perror(path);
        return 1;
    }
    size_t n = fread(data, 1, (size_t)st.st_size, f);
    fclose(f);
    /* An exact-size copy, so that a read past the end is seen. */
    uint8_t *exact = malloc(n > 0 ? n : 1);
    if (exact == NULL) return 1;
    memcpy(exact, data, n);
    free(data);
    (void)LLVMFuzzerTestOneInput(exact, n);
    free(exact);
    n_run++;
    return 0;
}

int main(int argc, char **argv)
{
    int bad = 0;
    for (int i = 1; i < argc; i++) bad |= replay(argv[i]);
    printf("%d passed, %d failed, 0 skipped\n", n_run, bad);
    return bad != 0 || n_run == 0;
}
