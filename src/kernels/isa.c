/* Which instruction set this machine can run: the CPU's own report (CPUID) and the operating
 * system's word that it saves the wide registers (XGETBV). Linux saves AMX's 8 KiB for those alone
 * who have asked for it (arch_prctl, since 5.16). Asked directly, because compilers' built-in
 * probes lack names for some sets. On Arm the kernel tells what it found. Reference: Intel SDM vol.
 * 1, 13.3 and 18, and vol. 2A, CPUID; Linux, Documentation/arch/x86/xstate.rst. */
#include "kernels/tables.h"

#include <string.h>

static const char *const names[HG_N_ISA] = {"c", "avx2", "avx512", "amx", "neon"};

const char *hg_isa_name(hg_isa isa)
{
    return (unsigned)isa < HG_N_ISA ? names[isa] : "any";
}

bool hg_isa_parse(const char *name, hg_isa *out)
{
    for (int i = 0; i < HG_N_ISA; i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (hg_isa)i;
            return true;
        }
    return false;
}

bool hg_isa_is_built(hg_isa isa)
{
#if defined(__x86_64__)
    return isa == HG_ISA_C || isa <= HG_ISA_AMX;
#elif defined(__aarch64__)
    return isa == HG_ISA_C || isa == HG_ISA_NEON;
#else
    return isa == HG_ISA_C;
#endif
}

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Bit i of a CPUID register. */
#define BIT(i) (1u << (i))

static const unsigned FMA = BIT(12), OSXSAVE = BIT(27), AVX = BIT(28), F16C = BIT(29); /* 1, ecx */
static const unsigned AVX2 = BIT(5), AVX512F = BIT(16), AVX512DQ = BIT(17), AVX512BW = BIT(30),
                      AVX512VL = BIT(31);                                         /* 7.0, ebx */
static const unsigned AVX512VNNI = BIT(11);                                       /* 7.0, ecx */
static const unsigned AMX_BF16 = BIT(22), AMX_TILE = BIT(24), AMX_INT8 = BIT(25); /* 7.0, edx */
static const unsigned AVX512_BF16 = BIT(5);                                       /* 7.1, eax */
static const unsigned YMM_SAVED = 0x06; /* XCR0: XMM and the upper halves of YMM */
static const unsigned ZMM_SAVED =
    0x06 | 0xe0; /* ... and masks, upper halves of ZMM, ZMM 16 to 31 */

static const unsigned TILES_SAVED = 0x60000; /* the tiles' shapes and their data */

enum { REQUEST_PERMISSION = 0x1023 /* ARCH_REQ_XCOMP_PERM */, TILE_DATA = 18 };

static unsigned xcr0(void)
{
    unsigned lo = 0, hi = 0;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return lo;
}

static bool has(unsigned reg, unsigned bits)
{
    return (reg & bits) == bits;
}

static bool may_use_tiles(unsigned saved)
{
    return has(saved, TILES_SAVED) && syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}

hg_isa hg_isa_detect(void)
{
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !has(c, FMA | OSXSAVE | AVX | F16C)) return HG_ISA_C;
    unsigned saved = xcr0();
    if (!has(saved, YMM_SAVED)) return HG_ISA_C;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !has(b, AVX2)) return HG_ISA_C;
    if (!has(saved, ZMM_SAVED) || !has(b, AVX512F | AVX512DQ | AVX512BW | AVX512VL) ||
        !has(c, AVX512VNNI))
        return HG_ISA_AVX2;
    const bool has_tiles = has(d, AMX_BF16 | AMX_TILE | AMX_INT8);
    if (!__get_cpuid_count(7, 1, &a, &b, &c, &d) || !has(a, AVX512_BF16)) return HG_ISA_AVX2;
    return has_tiles && may_use_tiles(saved) ? HG_ISA_AMX : HG_ISA_AVX512;
}

bool hg_isa_has_slow_bf16(void)
{
    unsigned a = 0, name[3] = {0};
    return __get_cpuid(0, &a, &name[0], &name[2], &name[1]) &&
           memcmp(name, "GenuineIntel", sizeof name) == 0;
}

#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>

/* The dot products of bytes came with Armv8.2; every aarch64 has the rest. */
hg_isa hg_isa_detect(void)
{
    return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0 ? HG_ISA_NEON : HG_ISA_C;
}

#else

hg_isa hg_isa_detect(void)
{
    return HG_ISA_C;
}

#endif

#if !defined(__x86_64__)
bool hg_isa_has_slow_bf16(void)
{
    return false;
}
#endif
