/* What each family of models calls its parameters, in safetensors and in GGUF (llama.cpp's names).
 * '#' is the layer, '@' the expert. The order is the files' own. */
#include "model/inner.h"

#define L "model.layers.#."
#define H "transformer.h.#."
#define N "gpt_neox.layers.#."
#define B "blk.#."

#define PLAIN HG_LAYOUT_PLAIN
#define TRANSPOSED HG_LAYOUT_TRANSPOSED
#define BY_HEAD HG_LAYOUT_BY_HEAD
#define BY_ROW HG_LAYOUT_BY_ROW
#define BY_ROW_TRANSPOSED HG_LAYOUT_BY_ROW_TRANSPOSED

/* Llama, Mistral, Qwen 2 and 3, SmolLM 3 */
const hg_name hg_names_llama[] = {
    {HG_P_EMBED, "model.embed_tokens.weight", "token_embd.weight", PLAIN},
    {HG_P_ATTN_NORM, L "input_layernorm.weight", B "attn_norm.weight", PLAIN},
    {HG_P_Q, L "self_attn.q_proj.weight", B "attn_q.weight", PLAIN},
    {HG_P_K, L "self_attn.k_proj.weight", B "attn_k.weight", PLAIN},
    {HG_P_V, L "self_attn.v_proj.weight", B "attn_v.weight", PLAIN},
    {HG_P_Q_B, L "self_attn.q_proj.bias", B "attn_q.bias", PLAIN},
    {HG_P_K_B, L "self_attn.k_proj.bias", B "attn_k.bias", PLAIN},
    {HG_P_V_B, L "self_attn.v_proj.bias", B "attn_v.bias", PLAIN},
    {HG_P_Q_NORM, L "self_attn.q_norm.weight", B "attn_q_norm.weight", PLAIN},
    {HG_P_K_NORM, L "self_attn.k_norm.weight", B "attn_k_norm.weight", PLAIN},
    {HG_P_O, L "self_attn.o_proj.weight", B "attn_output.weight", PLAIN},
    {HG_P_O_B, L "self_attn.o_proj.bias", B "attn_output.bias", PLAIN},
    {HG_P_MLP_NORM, L "post_attention_layernorm.weight", B "ffn_norm.weight", PLAIN},
    {HG_P_GATE, L "mlp.gate_proj.weight", B "ffn_gate.weight", PLAIN},
    {HG_P_GATE_B, L "mlp.gate_proj.bias", B "ffn_gate.bias", PLAIN},
    {HG_P_UP, L "mlp.up_proj.weight", B "ffn_up.weight", PLAIN},
    {HG_P_UP_B, L "mlp.up_proj.bias", B "ffn_up.bias", PLAIN},
    {HG_P_DOWN, L "mlp.down_proj.weight", B "ffn_down.weight", PLAIN},
    {HG_P_DOWN_B, L "mlp.down_proj.bias", B "ffn_down.bias", PLAIN},
    {HG_P_FINAL_NORM, "model.norm.weight", "output_norm.weight", PLAIN},
    {HG_P_HEAD, "lm_head.weight", "output.weight", PLAIN},
    {HG_N_ROLES, NULL, NULL, PLAIN},
};

/* Gemma 2 and 3, OLMo 2 */
const hg_name hg_names_gemma[] = {
    {HG_P_EMBED, "model.embed_tokens.weight", "token_embd.weight", PLAIN},
    {HG_P_ATTN_NORM, L "input_layernorm.weight", B "attn_norm.weight", PLAIN},
    {HG_P_Q, L "self_attn.q_proj.weight", B "attn_q.weight", PLAIN},
    {HG_P_K, L "self_attn.k_proj.weight", B "attn_k.weight", PLAIN},
    {HG_P_V, L "self_attn.v_proj.weight", B "attn_v.weight", PLAIN},
    {HG_P_Q_NORM, L "self_attn.q_norm.weight", B "attn_q_norm.weight", PLAIN},
    {HG_P_K_NORM, L "self_attn.k_norm.weight", B "attn_k_norm.weight", PLAIN},
    {HG_P_O, L "self_attn.o_proj.weight", B "attn_output.weight", PLAIN},
    {HG_P_ATTN_POST_NORM, L "post_attention_layernorm.weight", B "post_attention_norm.weight",
     PLAIN},
    {HG_P_MLP_NORM, L "pre_feedforward_layernorm.weight", B "ffn_norm.weight", PLAIN},
    {HG_P_GATE, L "mlp.gate_proj.weight", B "ffn_gate.weight", PLAIN},
    {HG_P_UP, L "mlp.up_proj.weight", B "ffn_up.weight", PLAIN},
    {HG_P_DOWN, L "mlp.down_proj.weight", B "ffn_down.weight", PLAIN},
    {HG_P_MLP_POST_NORM, L "post_feedforward_layernorm.weight", B "post_ffw_norm.weight", PLAIN},
    {HG_P_FINAL_NORM, "model.norm.weight", "output_norm.weight", PLAIN},
    {HG_P_HEAD, "lm_head.weight", "output.weight", PLAIN},
    {HG_N_ROLES, NULL, NULL, PLAIN},
};

/* Phi-3: q, k and v in one tensor, gate and up in another */
const hg_name hg_names_phi3[] = {
    {HG_P_EMBED, "model.embed_tokens.weight", "token_embd.weight", PLAIN},
    {HG_P_ATTN_NORM, L "input_layernorm.weight", B "attn_norm.weight", PLAIN},
    {HG_P_Q, L "self_attn.qkv_proj.weight", B "attn_qkv.weight", PLAIN},
    {HG_P_K, L "self_attn.qkv_proj.weight", B "attn_qkv.weight", PLAIN},
    {HG_P_V, L "self_attn.qkv_proj.weight", B "attn_qkv.weight", PLAIN},
    {HG_P_O, L "self_attn.o_proj.weight", B "attn_output.weight", PLAIN},
    {HG_P_MLP_NORM, L "post_attention_layernorm.weight", B "ffn_norm.weight", PLAIN},
    {HG_P_GATE, L "mlp.gate_up_proj.weight", B "ffn_up.weight", PLAIN},
    {HG_P_UP, L "mlp.gate_up_proj.weight", B "ffn_up.weight", PLAIN},
    {HG_P_DOWN, L "mlp.down_proj.weight", B "ffn_down.weight", PLAIN},
    {HG_P_FINAL_NORM, "model.norm.weight", "output_norm.weight", PLAIN},
    {HG_P_HEAD, "lm_head.weight", "output.weight", PLAIN},
    {HG_N_ROLES, NULL, NULL, PLAIN},
};

/* GPT-2: its Conv1D keeps matrices [n_in][n_out] */
const hg_name hg_names_gpt2[] = {
    {HG_P_EMBED, "transformer.wte.weight", "token_embd.weight", PLAIN},
    {HG_P_POS, "transformer.wpe.weight", "position_embd.weight", PLAIN},
    {HG_P_ATTN_NORM, H "ln_1.weight", B "attn_norm.weight", PLAIN},
    {HG_P_ATTN_NORM_B, H "ln_1.bias", B "attn_norm.bias", PLAIN},
    {HG_P_Q, H "attn.c_attn.weight", B "attn_qkv.weight", TRANSPOSED},
    {HG_P_K, H "attn.c_attn.weight", B "attn_qkv.weight", TRANSPOSED},
    {HG_P_V, H "attn.c_attn.weight", B "attn_qkv.weight", TRANSPOSED},
    {HG_P_Q_B, H "attn.c_attn.bias", B "attn_qkv.bias", PLAIN},
    {HG_P_K_B, H "attn.c_attn.bias", B "attn_qkv.bias", PLAIN},
    {HG_P_V_B, H "attn.c_attn.bias", B "attn_qkv.bias", PLAIN},
    {HG_P_O, H "attn.c_proj.weight", B "attn_output.weight", TRANSPOSED},
    {HG_P_O_B, H "attn.c_proj.bias", B "attn_output.bias", PLAIN},
    {HG_P_MLP_NORM, H "ln_2.weight", B "ffn_norm.weight", PLAIN},
    {HG_P_MLP_NORM_B, H "ln_2.bias", B "ffn_norm.bias", PLAIN},
    {HG_P_UP, H "mlp.c_fc.weight", B "ffn_up.weight", TRANSPOSED},
    {HG_P_UP_B, H "mlp.c_fc.bias", B "ffn_up.bias", PLAIN},
    {HG_P_DOWN, H "mlp.c_proj.weight", B "ffn_down.weight", TRANSPOSED},
    {HG_P_DOWN_B, H "mlp.c_proj.bias", B "ffn_down.bias", PLAIN},
    {HG_P_FINAL_NORM, "transformer.ln_f.weight", "output_norm.weight", PLAIN},
    {HG_P_FINAL_NORM_B, "transformer.ln_f.bias", "output_norm.bias", PLAIN},
    {HG_P_HEAD, "lm_head.weight", "output.weight", PLAIN},
    {HG_N_ROLES, NULL, NULL, PLAIN},
};

/* GPT-NeoX: the rows of q, k and v of each head lie together */
const hg_name hg_names_neox[] = {
    {HG_P_EMBED, "gpt_neox.embed_in.weight", "token_embd.weight", PLAIN},
    {HG_P_ATTN_NORM, N "input_layernorm.weight", B "attn_norm.weight", PLAIN},
    {HG_P_ATTN_NORM_B, N "input_layernorm.bias", B "attn_norm.bias", PLAIN},
    {HG_P_Q, N "attention.query_key_value.weight", B "attn_qkv.weight", BY_HEAD},
    {HG_P_K, N "attention.query_key_value.weight", B "attn_qkv.weight", BY_HEAD},
    {HG_P_V, N "attention.query_key_value.weight", B "attn_qkv.weight", BY_HEAD},
    {HG_P_Q_B, N "attention.query_key_value.bias", B "attn_qkv.bias", BY_HEAD},
    {HG_P_K_B, N "attention.query_key_value.bias", B "attn_qkv.bias", BY_HEAD},
    {HG_P_V_B, N "attention.query_key_value.bias", B "attn_qkv.bias", BY_HEAD},
    {HG_P_O, N "attention.dense.weight", B "attn_output.weight", PLAIN},
    {HG_P_O_B, N "attention.dense.bias", B "attn_output.bias", PLAIN},
    {HG_P_MLP_NORM, N "post_attention_layernorm.weight", B "ffn_norm.weight", PLAIN},
    {HG_P_MLP_NORM_B, N "post_attention_layernorm.bias", B "ffn_norm.bias", PLAIN},
    {HG_P_UP, N "mlp.dense_h_to_4h.weight", B "ffn_up.weight", PLAIN},
    {HG_P_UP_B, N "mlp.dense_h_to_4h.bias", B "ffn_up.bias", PLAIN},
    {HG_P_DOWN, N "mlp.dense_4h_to_h.weight", B "ffn_down.weight", PLAIN},
    {HG_P_DOWN_B, N "mlp.dense_4h_to_h.bias", B "ffn_down.bias", PLAIN},
    {HG_P_FINAL_NORM, "gpt_neox.final_layer_norm.weight", "output_norm.weight", PLAIN},
    {HG_P_FINAL_NORM_B, "gpt_neox.final_layer_norm.bias", "output_norm.bias", PLAIN},
    {HG_P_HEAD, "embed_out.weight", "output.weight", PLAIN},
    {HG_N_ROLES, NULL, NULL, PLAIN},
};

/* Mixtral: a tensor for each expert; in GGUF all of a layer in one */
const hg_name hg_names_mixtral[] = {
    {HG_P_EMBED, "model.embed_tokens.weight", "token_embd.weight", PLAIN},
    {HG_P_ATTN_NORM, L "input_layernorm.weight", B "attn_norm.weight", PLAIN},
    {HG_P_Q, L "self_attn.q_proj.weight", B "attn_q.weight", PLAIN},
    {HG_P_K, L "self_attn.k_proj.weight", B "attn_k.weight", PLAIN},
    {HG_P_V, L "self_attn.v_proj.weight", B "attn_v.weight", PLAIN},
    {HG_P_O, L "self_attn.o_proj.weight", B "attn_output.weight", PLAIN},
    {HG_P_MLP_NORM, L "post_attention_layernorm.weight", B "ffn_norm.weight", PLAIN},
    {HG_P_ROUTER, L "block_sparse_moe.gate.weight", B "ffn_gate_inp.weight", PLAIN},
    {HG_P_EXPERT_GATE, L "block_sparse_moe.experts.@.w1.weight", B "ffn_gate_exps.weight", PLAIN},
    {HG_P_EXPERT_DOWN, L "block_sparse_moe.experts.@.w2.weight", B "ffn_down_exps.weight", PLAIN},
    {HG_P_EXPERT_UP, L "block_sparse_moe.experts.@.w3.weight", B "ffn_up_exps.weight", PLAIN},
    {HG_P_FINAL_NORM, "model.norm.weight", "output_norm.weight", PLAIN},
    {HG_P_HEAD, "lm_head.weight", "output.weight", PLAIN},
    {HG_N_ROLES, NULL, NULL, PLAIN},
};

const hg_name hg_names_qwen3moe[] = {
    {HG_P_EMBED, "model.embed_tokens.weight", "token_embd.weight", PLAIN},
    {HG_P_ATTN_NORM, L "input_layernorm.weight", B "attn_norm.weight", PLAIN},
    {HG_P_Q, L "self_attn.q_proj.weight", B "attn_q.weight", PLAIN},
    {HG_P_K, L "self_attn.k_proj.weight", B "attn_k.weight", PLAIN},
    {HG_P_V, L "self_attn.v_proj.weight", B "attn_v.weight", PLAIN},
    {HG_P_Q_NORM, L "self_attn.q_norm.weight", B "attn_q_norm.weight", PLAIN},
    {HG_P_K_NORM, L "self_attn.k_norm.weight", B "attn_k_norm.weight", PLAIN},
    {HG_P_O, L "self_attn.o_proj.weight", B "attn_output.weight", PLAIN},
    {HG_P_MLP_NORM, L "post_attention_layernorm.weight", B "ffn_norm.weight", PLAIN},
    {HG_P_ROUTER, L "mlp.gate.weight", B "ffn_gate_inp.weight", PLAIN},
    {HG_P_EXPERT_GATE, L "mlp.experts.@.gate_proj.weight", B "ffn_gate_exps.weight", PLAIN},
    {HG_P_EXPERT_UP, L "mlp.experts.@.up_proj.weight", B "ffn_up_exps.weight", PLAIN},
    {HG_P_EXPERT_DOWN, L "mlp.experts.@.down_proj.weight", B "ffn_down_exps.weight", PLAIN},
    {HG_P_FINAL_NORM, "model.norm.weight", "output_norm.weight", PLAIN},
    {HG_P_HEAD, "lm_head.weight", "output.weight", PLAIN},
    {HG_N_ROLES, NULL, NULL, PLAIN},
};

/* gpt-oss: all experts of a layer in one tensor, [n_in][n_out] each, rows of gate and up by turns
 */
const hg_name hg_names_gptoss[] = {
    {HG_P_EMBED, "model.embed_tokens.weight", "token_embd.weight", PLAIN},
    {HG_P_ATTN_NORM, L "input_layernorm.weight", B "attn_norm.weight", PLAIN},
    {HG_P_Q, L "self_attn.q_proj.weight", B "attn_q.weight", PLAIN},
    {HG_P_K, L "self_attn.k_proj.weight", B "attn_k.weight", PLAIN},
    {HG_P_V, L "self_attn.v_proj.weight", B "attn_v.weight", PLAIN},
    {HG_P_Q_B, L "self_attn.q_proj.bias", B "attn_q.bias", PLAIN},
    {HG_P_K_B, L "self_attn.k_proj.bias", B "attn_k.bias", PLAIN},
    {HG_P_V_B, L "self_attn.v_proj.bias", B "attn_v.bias", PLAIN},
    {HG_P_SINKS, L "self_attn.sinks", B "attn_sinks.weight", PLAIN},
    {HG_P_O, L "self_attn.o_proj.weight", B "attn_output.weight", PLAIN},
    {HG_P_O_B, L "self_attn.o_proj.bias", B "attn_output.bias", PLAIN},
    {HG_P_MLP_NORM, L "post_attention_layernorm.weight", B "post_attention_norm.weight", PLAIN},
    {HG_P_ROUTER, L "mlp.router.weight", B "ffn_gate_inp.weight", PLAIN},
    {HG_P_ROUTER_B, L "mlp.router.bias", B "ffn_gate_inp.bias", PLAIN},
    {HG_P_EXPERT_GATE, L "mlp.experts.gate_up_proj", B "ffn_gate_exps.weight", BY_ROW_TRANSPOSED},
    {HG_P_EXPERT_UP, L "mlp.experts.gate_up_proj", B "ffn_up_exps.weight", BY_ROW_TRANSPOSED},
    {HG_P_EXPERT_GATE_B, L "mlp.experts.gate_up_proj_bias", B "ffn_gate_exps.bias", BY_ROW},
    {HG_P_EXPERT_UP_B, L "mlp.experts.gate_up_proj_bias", B "ffn_up_exps.bias", BY_ROW},
    {HG_P_EXPERT_DOWN, L "mlp.experts.down_proj", B "ffn_down_exps.weight", TRANSPOSED},
    {HG_P_EXPERT_DOWN_B, L "mlp.experts.down_proj_bias", B "ffn_down_exps.bias", PLAIN},
    {HG_P_FINAL_NORM, "model.norm.weight", "output_norm.weight", PLAIN},
    {HG_P_HEAD, "lm_head.weight", "output.weight", PLAIN},
    {HG_N_ROLES, NULL, NULL, PLAIN},
};
