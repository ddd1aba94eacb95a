/* The architecture table: one row for each family of decoder-only models that Higgins knows.
 *
 * Since GPT-2 (Radford et al. 2019) such models differ in a handful of switches only: which norm
 * and where, learned or rotary positions, biases, a gate in the feed-forward part or a choice of
 * experts, norms on queries and keys. A row states them, and how the family calls its parameters
 * (names.c) and its sizes in other people's files; transformer.c reads the switches. A new
 * architecture is a new row and, at the most, a new list of names: docs/architectures.md shows how.
 */
#include "model/model.h"
#include <stdio.h>
#include <string.h>

static const hg_config_keys keys_llama = {
    .n_layers = "num_hidden_layers",
    .d_model = "hidden_size",
    .n_heads = "num_attention_heads",
    .n_kv_heads = "num_key_value_heads",
    .d_head = "head_dim",
    .d_ff = "intermediate_size",
    .n_ctx = "max_position_embeddings",
    .norm_eps = "rms_norm_eps",
    .act = "hidden_act",
    .rope_theta = "rope_theta",
};

static const hg_config_keys keys_gpt2 = {
    .n_layers = "n_layer",
    .d_model = "n_embd",
    .n_heads = "n_head",
    .d_ff = "n_inner",
    .n_ctx = "n_positions",
    .norm_eps = "layer_norm_epsilon",
    .act = "activation_function",
    .usual_d_ff = 4,
};

static const hg_config_keys keys_neox = {
    .n_layers = "num_hidden_layers",
    .d_model = "hidden_size",
    .n_heads = "num_attention_heads",
    .d_ff = "intermediate_size",
    .n_ctx = "max_position_embeddings",
    .norm_eps = "layer_norm_eps",
    .act = "hidden_act",
    .rope_theta = "rotary_emb_base",
    .rotary_share = "rotary_pct",
    .usual_rotary_share = 0.25f,
    .parallel = "use_parallel_residual",
};

static const hg_config_keys keys_phi3 = {
    .n_layers = "num_hidden_layers",
    .d_model = "hidden_size",
    .n_heads = "num_attention_heads",
    .n_kv_heads = "num_key_value_heads",
    .d_ff = "intermediate_size",
    .n_ctx = "max_position_embeddings",
    .norm_eps = "rms_norm_eps",
    .act = "hidden_act",
    .rope_theta = "rope_theta",
    .rotary_share = "partial_rotary_factor",
    .usual_rotary_share = 1.0f,
    .window = "sliding_window",
};

static const hg_config_keys keys_mistral = {
    .n_layers = "num_hidden_layers",
    .d_model = "hidden_size",
    .n_heads = "num_attention_heads",
    .n_kv_heads = "num_key_value_heads",
    .d_head = "head_dim",
    .d_ff = "intermediate_size",
    .n_ctx = "max_position_embeddings",
    .norm_eps = "rms_norm_eps",
    .act = "hidden_act",
    .rope_theta = "rope_theta",
    .window = "sliding_window",
    .n_experts = "num_local_experts",
};

/* hidden_act says silu, which is not all of it: the row knows. */
static const hg_config_keys keys_gptoss = {
    .n_layers = "num_hidden_layers",
    .d_model = "hidden_size",
    .n_heads = "num_attention_heads",
    .n_kv_heads = "num_key_value_heads",
    .d_head = "head_dim",
    .d_ff = "intermediate_size",
    .n_ctx = "max_position_embeddings",
    .norm_eps = "rms_norm_eps",
    .rope_theta = "rope_theta",
    .window = "sliding_window",
    .n_experts = "num_local_experts",
};

/* What files of Gemma leave out; so small a text_config as that of Gemma 3 4B is real. */
static const hg_model_config usual_gemma2 = {.norm_eps = 1e-6f,
                                             .window = 4096,
                                             .attn_soft_cap = 50,
                                             .soft_cap = 30,
                                             .attn_scale = 1.0f / 16};
static const hg_model_config usual_gemma3 = {.n_heads = 8,
                                             .n_kv_heads = 4,
                                             .d_head = 256,
                                             .n_vocab = 262208,
                                             .n_ctx = 131072,
                                             .norm_eps = 1e-6f,
                                             .rope_theta = 1e6f,
                                             .rope_theta_local = 1e4f,
                                             .window = 4096,
                                             .attn_scale = 1.0f / 16};

static const hg_config_keys keys_gemma2 = {
    .n_layers = "num_hidden_layers",
    .d_model = "hidden_size",
    .n_heads = "num_attention_heads",
    .n_kv_heads = "num_key_value_heads",
    .d_head = "head_dim",
    .d_ff = "intermediate_size",
    .n_ctx = "max_position_embeddings",
    .norm_eps = "rms_norm_eps",
    .act = "hidden_activation",
    .rope_theta = "rope_theta",
    .window = "sliding_window",
    .attn_scalar = "query_pre_attn_scalar",
    .attn_soft_cap = "attn_logit_softcapping",
    .soft_cap = "final_logit_softcapping",
    .usual = &usual_gemma2,
};

static const hg_config_keys keys_gemma3 = {
    .n_layers = "num_hidden_layers",
    .d_model = "hidden_size",
    .n_heads = "num_attention_heads",
    .n_kv_heads = "num_key_value_heads",
    .d_head = "head_dim",
    .d_ff = "intermediate_size",
    .n_ctx = "max_position_embeddings",
    .norm_eps = "rms_norm_eps",
    .act = "hidden_activation",
    .rope_theta = "rope_theta",
    .rope_theta_local = "rope_local_base_freq",
    .window = "sliding_window",
    .attn_scalar = "query_pre_attn_scalar",
    .attn_soft_cap = "attn_logit_softcapping",
    .soft_cap = "final_logit_softcapping",
    .usual = &usual_gemma3,
};

static const hg_config_keys keys_qwen3moe = {
    .n_layers = "num_hidden_layers",
    .d_model = "hidden_size",
    .n_heads = "num_attention_heads",
    .n_kv_heads = "num_key_value_heads",
    .d_head = "head_dim",
    .d_ff = "moe_intermediate_size",
    .n_ctx = "max_position_embeddings",
    .norm_eps = "rms_norm_eps",
    .act = "hidden_act",
    .rope_theta = "rope_theta",
    .n_experts = "num_experts",
    .norm_experts = "norm_topk_prob",
};

static const hg_arch rows[] = {
    /* Touvron et al. 2023; Llama 3: Dubey et al. 2024; SmolLM 2 is one too */
    {.name = "llama",
     .hf_type = "llama",
     .hf_class = "LlamaForCausalLM",
     .gguf = "llama",
     .norm = HG_NORM_RMS,
     .positions = HG_POS_ROPE,
     .act = HG_ACT_SILU,
     .is_gated = true,
     .gguf_interleaved = true,
     .names = hg_names_llama,
     .keys = &keys_llama},
    /* Jiang et al. 2023: Llama with a window that attention looks back through */
    {.name = "mistral",
     .hf_type = "mistral",
     .hf_class = "MistralForCausalLM",
     .gguf = "llama",
     .norm = HG_NORM_RMS,
     .positions = HG_POS_ROPE,
     .act = HG_ACT_SILU,
     .is_gated = true,
     .gguf_interleaved = true,
     .names = hg_names_llama,
     .keys = &keys_mistral},
    /* Jiang et al. 2024: Mistral with experts */
    {.name = "mixtral",
     .hf_type = "mixtral",
     .hf_class = "MixtralForCausalLM",
     .gguf = "llama",
     .norm = HG_NORM_RMS,
     .positions = HG_POS_ROPE,
     .act = HG_ACT_SILU,
     .is_gated = true,
     .has_experts = true,
     .gguf_interleaved = true,
     .names = hg_names_mixtral,
     .keys = &keys_mistral},
    /* Yang et al. 2024 */
    {.name = "qwen2",
     .hf_type = "qwen2",
     .hf_class = "Qwen2ForCausalLM",
     .gguf = "qwen2",
     .norm = HG_NORM_RMS,
     .positions = HG_POS_ROPE,
     .act = HG_ACT_SILU,
     .is_gated = true,
     .qkv_bias = true,
     .names = hg_names_llama,
     .keys = &keys_llama},
    /* Yang et al. 2025 */
    {.name = "qwen3",
     .hf_type = "qwen3",
     .hf_class = "Qwen3ForCausalLM",
     .gguf = "qwen3",
     .norm = HG_NORM_RMS,
     .positions = HG_POS_ROPE,
     .act = HG_ACT_SILU,
     .is_gated = true,
     .qk_norm = HG_QK_HEADS,
     .names = hg_names_llama,
     .keys = &keys_llama},
    {.name = "qwen3_moe",
     .hf_type = "qwen3_moe",
     .hf_class = "Qwen3MoeForCausalLM",
     .gguf = "qwen3moe",
     .norm = HG_NORM_RMS,
     .positions = HG_POS_ROPE,
     .act = HG_ACT_SILU,
     .is_gated = true,
     .has_experts = true,
     .qk_norm = HG_QK_HEADS,
     .names = hg_names_qwen3moe,
     .keys = &keys_qwen3moe},
    /* Bakouch et al. 2025: every fourth layer is not told positions (Kazemnejad et al. 2023) */
    {.name = "smollm3",
     .hf_type = "smollm3",
     .hf_class = "SmolLM3ForCausalLM",
     .gguf = "smollm3",
     .norm = HG_NORM_RMS,
     .positions = HG_POS_ROPE,
     .act = HG_ACT_SILU,
     .is_gated = true,
     .tied_by_default = true,
     .no_rope_every = 4,
     .gguf_interleaved = true,
     .names = hg_names_llama,
     .keys = &keys_llama},
    /* Abdin et al. 2024 */
    {.name = "phi3",
     .hf_type = "phi3",
     .hf_class = "Phi3ForCausalLM",
     .gguf = "phi3",
     .norm = HG_NORM_RMS,
     .positions = HG_POS_ROPE,
     .act = HG_ACT_SILU,
     .is_gated = true,
     .names = hg_names_phi3,
     .keys = &keys_phi3},
    /* Walsh et al. 2024: norms come behind attention and mlp */
    {.name = "olmo2",
     .hf_type = "olmo2",
     .hf_class = "Olmo2ForCausalLM",
     .gguf = "olmo2",
     .norm = HG_NORM_RMS,
     .norm_place = HG_NORM_AFTER,
     .positions = HG_POS_ROPE,
     .act = HG_ACT_SILU,
     .is_gated = true,
     .qk_norm = HG_QK_ROWS,
     .names = hg_names_gemma,
     .keys = &keys_llama},
    /* Gemma Team 2024: norms before and behind, soft caps, a window in every other layer */
    {.name = "gemma2",
     .hf_type = "gemma2",
     .hf_class = "Gemma2ForCausalLM",
     .gguf = "gemma2",
     .norm = HG_NORM_RMS,
     .norm_place = HG_NORM_AROUND,
     .norm_from_one = true,
     .positions = HG_POS_ROPE,
     .act = HG_ACT_GELU_TANH,
     .is_gated = true,
     .scales_embed = true,
     .tied_by_default = true,
     .global_every = 2,
     .names = hg_names_gemma,
     .keys = &keys_gemma2},
    /* Gemma Team 2025: five layers with a window and a rotary base of their own, then one without
     */
    {.name = "gemma3",
     .hf_type = "gemma3_text",
     .hf_class = "Gemma3ForCausalLM",
     .gguf = "gemma3",
     .norm = HG_NORM_RMS,
     .norm_place = HG_NORM_AROUND,
     .norm_from_one = true,
     .positions = HG_POS_ROPE,
     .act = HG_ACT_GELU_TANH,
     .is_gated = true,
     .qk_norm = HG_QK_HEADS,
     .scales_embed = true,
     .tied_by_default = true,
     .global_every = 6,
     .names = hg_names_gemma,
     .keys = &keys_gemma3},
    /* OpenAI 2025 */
    {.name = "gpt-oss",
     .hf_type = "gpt_oss",
     .hf_class = "GptOssForCausalLM",
     .gguf = "gpt-oss",
     .norm = HG_NORM_RMS,
     .positions = HG_POS_ROPE,
     .act = HG_ACT_SWIGLU_CLAMPED,
     .is_gated = true,
     .qkv_bias = true,
     .out_bias = true,
     .mlp_bias = true,
     .router_bias = true,
     .has_sinks = true,
     .has_experts = true,
     .global_every = 2,
     .names = hg_names_gptoss,
     .keys = &keys_gptoss},
    /* Radford et al. 2019 */
    {.name = "gpt2",
     .hf_type = "gpt2",
     .hf_class = "GPT2LMHeadModel",
     .gguf = "gpt2",
     .norm = HG_NORM_LAYER,
     .positions = HG_POS_LEARNED,
     .act = HG_ACT_GELU_TANH,
     .qkv_bias = true,
     .out_bias = true,
     .mlp_bias = true,
     .tied_by_default = true,
     .names = hg_names_gpt2,
     .keys = &keys_gpt2},
    /* Black et al. 2022; Pythia: Biderman et al. 2023 */
    {.name = "gpt_neox",
     .hf_type = "gpt_neox",
     .hf_class = "GPTNeoXForCausalLM",
     .gguf = "gptneox",
     .norm = HG_NORM_LAYER,
     .is_parallel = true,
     .positions = HG_POS_ROPE,
     .act = HG_ACT_GELU_ERF,
     .qkv_bias = true,
     .out_bias = true,
     .mlp_bias = true,
     .names = hg_names_neox,
     .keys = &keys_neox},
};

enum { N_ROWS = sizeof rows / sizeof rows[0] };

const hg_arch *hg_arch_find(const char *name_or_hf_type)
{
    for (size_t i = 0; i < N_ROWS; i++)
        if (strcmp(rows[i].name, name_or_hf_type) == 0 ||
            strcmp(rows[i].hf_type, name_or_hf_type) == 0)
            return &rows[i];
    return NULL;
}

const hg_arch *hg_arch_find_gguf(const char *gguf, size_t n, bool has_experts)
{
    for (size_t i = 0; i < N_ROWS; i++)
        if (strlen(rows[i].gguf) == n && memcmp(rows[i].gguf, gguf, n) == 0 &&
            rows[i].has_experts == has_experts)
            return &rows[i];
    return NULL;
}

const hg_arch *hg_arch_at(size_t i)
{
    return i < N_ROWS ? &rows[i] : NULL;
}

hg_status hg_arch_unknown(const char *name, size_t n, hg_err *e)
{
    char known[256] = "";
    size_t at = 0;
    for (size_t i = 0; i < N_ROWS && at < sizeof known; i++)
        at += (size_t)snprintf(known + at, sizeof known - at, "%s%s", i == 0 ? "" : ", ",
                               rows[i].name);
    return hg_fail(e, HG_E_UNSUPPORTED, "no architecture \"%.*s\"; Higgins knows %s",
                   (int)(n < 64 ? n : 64), name, known);
}

void hg_layers_every(hg_layer_set *s, size_t n, size_t n_layers)
{
    memset(s, 0, sizeof *s);
    for (size_t i = 0; n > 0 && i < n_layers; i++) hg_layers_put(s, i, (i + 1) % n == 0);
}
