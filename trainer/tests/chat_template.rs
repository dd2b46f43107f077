//! Chat templates in the manner of several families; what is expected was written by transformers 5.23.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use trainmaster_trainer::generation::{Conventions, as_conversation};

fn rendered(template: &str) -> Result<String, String> {
    let conventions = Conventions {
        chat_template: Some(template.to_owned()),
        begin_text: Some("<s>".to_owned()),
        end_text: Some("</s>".to_owned()),
        ..Conventions::default()
    };
    as_conversation(&conventions, "  Hello <b> wörld ").map_err(|error| error.to_string())
}

#[test]
fn chatml_with_a_system_turn_of_its_own() {
    let template = "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}\
        {{ '<|im_start|>system\nYou are helpful.<|im_end|>\n' }}{% endif %}\
        {{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}\
        {% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
    assert_eq!(
        rendered(template).unwrap(),
        "<|im_start|>system\nYou are helpful.<|im_end|>\n<|im_start|>user\n  Hello <b> wörld <|im_end|>\n<|im_start|>assistant\n"
    );
}

#[test]
fn headers_with_a_date_that_is_not_todays() {
    let template = r#"{{- bos_token }}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + ' ' + date_string + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif %}
"#;
    assert_eq!(
        rendered(template).unwrap(),
        "<s><|start_header_id|>user<|end_header_id|>\n\nHello <b> wörld 26 Jul 2024<|eot_id|>\
         <|start_header_id|>assistant<|end_header_id|>\n\n"
    );
}

#[test]
fn instructions_in_brackets_and_pythons_methods() {
    let template = "{{ bos_token }}{% for message in messages %}\
        {% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}\
        {{ '[INST] ' + message['content'].strip() + ' [/INST]' }}{% endfor %}";
    assert_eq!(
        rendered(template).unwrap(),
        "<s>[INST] Hello <b> wörld [/INST]"
    );
}

#[test]
fn blocks_on_lines_of_their_own_leave_no_trace() {
    let template = r#"{%- set ns = namespace(found=false) -%}
{%- for message in messages -%}
  {%- if message['role'] == 'system' -%}{%- set ns.found = true -%}{%- endif -%}
{%- endfor -%}
{% if not ns.found %}
    <|system|>{{ '\n' }}none</s>
{% endif %}
{% for message in messages %}
{% if message['role'].startswith('us') %}
<|user|>
{{ message['content'].upper().split(' ')[-1] }}{{ eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
<|assistant|>
{% endif %}
{% endfor %}
"#;
    assert_eq!(
        rendered(template).unwrap(),
        "    <|system|>\nnone</s>\n<|user|>\n</s>\n<|assistant|>\n"
    );
}

#[test]
fn a_template_that_cannot_be_applied_says_what_to_do() {
    let endless =
        "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}";
    let vast = "{% for a in range(90000) %}{{ messages[0]['content'] }}{% endfor %}";
    for (template, because) in [
        ("{% if %}", "syntax error"),
        ("{{ raise_exception('no users here') }}", "no users here"),
        ("{{ tools.first() }}", ""),
        (endless, ""),
        (vast, "more than any prompt needs"),
    ] {
        let error = rendered(template).unwrap_err();
        assert!(error.contains("give chat=false"), "{error}");
        assert!(error.contains(because), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
}
