/* The architecture table: one row for each family of decoder-only models that Higgins knows.
 *
 * Since GPT-2 (Radford et al. 2019) such models differ in a handful of switches only: which norm,
 * learned or rotary positions, biases, a gate in the feed-forward part, norms on queries and keys.
 * A row states them, and how the family calls its parameters in other people's files; transformer.c
 * reads the switches. A new architecture is a new row and, at the most, a new list of names. */
#include "model/model.h"
#include <stdio.h>
#include <string.h>

static const hg_name names_llama[] = {
    {HG_P_EMBED, "model.embed_tokens.weight", "token_embd.weight", false},
    {HG_P_ATTN_NORM, "model.layers.#.input_layernorm.weight", "blk.#.attn_norm.weight", false},
    {HG_P_Q, "model.layers.#.self_attn.q_proj.weight", "blk.#.attn_q.weight", false},
    {HG_P_K, "model.layers.#.self_attn.k_proj.weight", "blk.#.attn_k.weight", false},
    {HG_P_V, "model.layers.#.self_attn.v_proj.weight", "blk.#.attn_v.weight", false},
    {HG_P_Q_B, "model.layers.#.self_attn.q_proj.bias", "blk.#.attn_q.bias", false},
    {HG_P_K_B, "model.layers.#.self_attn.k_proj.bias", "blk.#.attn_k.bias", false},
    {HG_P_V_B, "model.layers.#.self_attn.v_proj.bias", "blk.#.attn_v.bias", false},
    {HG_P_Q_NORM, "model.layers.#.self_attn.q_norm.weight", "blk.#.attn_q_norm.weight", false},
    {HG_P_K_NORM, "model.layers.#.self_attn.k_norm.weight", "blk.#.attn_k_norm.weight", false},
    {HG_P_O, "model.layers.#.self_attn.o_proj.weight", "blk.#.attn_output.weight", false},
    {HG_P_O_B, "model.layers.#.self_attn.o_proj.bias", "blk.#.attn_output.bias", false},
    {HG_P_MLP_NORM, "model.layers.#.post_attention_layernorm.weight", "blk.#.ffn_norm.weight",
     false},
    {HG_P_GATE, "model.layers.#.mlp.gate_proj.weight", "blk.#.ffn_gate.weight", false},
    {HG_P_UP, "model.layers.#.mlp.up_proj.weight", "blk.#.ffn_up.weight", false},
    {HG_P_DOWN, "model.layers.#.mlp.down_proj.weight", "blk.#.ffn_down.weight", false},
    {HG_P_FINAL_NORM, "model.norm.weight", "output_norm.weight", false},
    {HG_P_HEAD, "lm_head.weight", "output.weight", false},
    {HG_N_ROLES, NULL, NULL, false},
};

static const hg_name names_gpt2[] = {
    {HG_P_EMBED, "transformer.wte.weight", "token_embd.weight", false},
    {HG_P_POS, "transformer.wpe.weight", "position_embd.weight", false},
    {HG_P_ATTN_NORM, "transformer.h.#.ln_1.weight", "blk.#.attn_norm.weight", false},
    {HG_P_ATTN_NORM_B, "transformer.h.#.ln_1.bias", "blk.#.attn_norm.bias", false},
    {HG_P_Q, "transformer.h.#.attn.c_attn.weight", "blk.#.attn_qkv.weight", true},
    {HG_P_K, "transformer.h.#.attn.c_attn.weight", "blk.#.attn_qkv.weight", true},
    {HG_P_V, "transformer.h.#.attn.c_attn.weight", "blk.#.attn_qkv.weight", true},
    {HG_P_Q_B, "transformer.h.#.attn.c_attn.bias", "blk.#.attn_qkv.bias", false},
    {HG_P_K_B, "transformer.h.#.attn.c_attn.bias", "blk.#.attn_qkv.bias", false},
    {HG_P_V_B, "transformer.h.#.attn.c_attn.bias", "blk.#.attn_qkv.bias", false},
    {HG_P_O, "transformer.h.#.attn.c_proj.weight", "blk.#.attn_output.weight", true},
    {HG_P_O_B, "transformer.h.#.attn.c_proj.bias", "blk.#.attn_output.bias", false},
    {HG_P_MLP_NORM, "transformer.h.#.ln_2.weight", "blk.#.ffn_norm.weight", false},
    {HG_P_MLP_NORM_B, "transformer.h.#.ln_2.bias", "blk.#.ffn_norm.bias", false},
    {HG_P_UP, "transformer.h.#.mlp.c_fc.weight", "blk.#.ffn_up.weight", true},
    {HG_P_UP_B, "transformer.h.#.mlp.c_fc.bias", "blk.#.ffn_up.bias", false},
    {HG_P_DOWN, "transformer.h.#.mlp.c_proj.weight", "blk.#.ffn_down.weight", true},
    {HG_P_DOWN_B, "transformer.h.#.mlp.c_proj.bias", "blk.#.ffn_down.bias", false},
    {HG_P_FINAL_NORM, "transformer.ln_f.weight", "output_norm.weight", false},
    {HG_P_FINAL_NORM_B, "transformer.ln_f.bias", "output_norm.bias", false},
    {HG_P_HEAD, "lm_head.weight", "output.weight", false},
    {HG_N_ROLES, NULL, NULL, false},
};

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

static const hg_arch rows[] = {
    /* Touvron et al. 2023; Llama 3: Dubey et al. 2024 */
    {.name = "llama",
     .hf_type = "llama",
     .hf_class = "LlamaForCausalLM",
     .gguf = "llama",
     .norm = HG_NORM_RMS,
     .positions = HG_POS_ROPE,
     .act = HG_ACT_SILU,
     .is_gated = true,
     .gguf_interleaved = true,
     .names = names_llama,
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
     .names = names_llama,
     .keys = &keys_llama},
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
     .names = names_llama,
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
     .qk_norm = true,
     .names = names_llama,
     .keys = &keys_llama},
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
     .names = names_gpt2,
     .keys = &keys_gpt2},
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

const hg_arch *hg_arch_find_gguf(const char *gguf, size_t n)
{
    for (size_t i = 0; i < N_ROWS; i++)
        if (strlen(rows[i].gguf) == n && memcmp(rows[i].gguf, gguf, n) == 0) return &rows[i];
    return NULL;
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
