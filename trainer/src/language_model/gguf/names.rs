//! What GGUF files of Llamas call the weights.

/// Names of a layer's parts: GGUF's and Hugging Face's.
const PARTS: [(&str, &str); 9] = [
    ("attn_norm", "input_layernorm"),
    ("ffn_norm", "post_attention_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];

/// Names outside the layers: GGUF's and Hugging Face's.
const WHOLES: [(&str, &str); 3] = [
    ("token_embd.weight", "model.embed_tokens.weight"),
    ("output_norm.weight", "model.norm.weight"),
    ("output.weight", "lm_head.weight"),
];

/// GGUF's name of a weight of a Llama.
pub(super) fn gguf_name(hugging_face: &str) -> Option<String> {
    if let Some((gguf, _)) = WHOLES.iter().find(|(_, theirs)| *theirs == hugging_face) {
        return Some((*gguf).to_owned());
    }
    let (layer, rest) = hugging_face
        .strip_prefix("model.layers.")?
        .split_once('.')?;
    let (part, what) = rest.rsplit_once('.')?;
    let (gguf, _) = PARTS.iter().find(|(_, theirs)| *theirs == part)?;
    Some(format!("blk.{layer}.{gguf}.{what}"))
}
