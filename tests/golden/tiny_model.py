#!/usr/bin/env python3
"""Writes a small llama with random weights as a Hugging Face folder: tiny_model.py FOLDER VOCABULARY CONTEXT [--no-template].
Only the standard library is used; the weights follow from a fixed seed. tokenizer.json is put beside them by the test."""
import json
import random
import struct
import sys

folder, n_vocab, CTX = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
D, LAYERS, HEADS, KV, FF = 32, 2, 4, 2, 64
rng = random.Random(7)
shapes = {"model.embed_tokens.weight": [n_vocab, D], "model.norm.weight": [D]}
for i in range(LAYERS):
    at = f"model.layers.{i}."
    shapes |= {
        at + "input_layernorm.weight": [D],
        at + "post_attention_layernorm.weight": [D],
        at + "self_attn.q_proj.weight": [D, D],
        at + "self_attn.k_proj.weight": [D * KV // HEADS, D],
        at + "self_attn.v_proj.weight": [D * KV // HEADS, D],
        at + "self_attn.o_proj.weight": [D, D],
        at + "mlp.gate_proj.weight": [FF, D],
        at + "mlp.up_proj.weight": [FF, D],
        at + "mlp.down_proj.weight": [D, FF],
    }
header, data = {}, bytearray()
for name, shape in shapes.items():
    n = 1
    for dim in shape:
        n *= dim
    values = [1.0] * n if len(shape) == 1 else [rng.gauss(0, 0.2) for _ in range(n)]
    if name.endswith("embed_tokens.weight"):
        values[: 4 * D] = [0.0] * (4 * D)  # special tokens are never among the likeliest: answers do not end early
    header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + 4 * n]}
    data += struct.pack(f"<{n}f", *values)
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
with open(folder + "/model.safetensors", "wb") as f:
    f.write(struct.pack("<Q", len(text)) + text + data)
with open(folder + "/config.json", "w") as f:
    json.dump({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": D, "intermediate_size": FF,
               "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": KV, "vocab_size": n_vocab,
               "max_position_embeddings": CTX, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu",
               "tie_word_embeddings": True, "torch_dtype": "float32", "eos_token_id": 0}, f)
if "--no-template" not in sys.argv:
    with open(folder + "/tokenizer_config.json", "w") as f:
        turn = r"{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
        start = r"{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
        json.dump({"chat_template": "{% for message in messages %}" + turn + "{% endfor %}" + start}, f)
