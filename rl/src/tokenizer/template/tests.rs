use super::*;

fn special() -> SpecialTokens {
    SpecialTokens {
        bos_token: Some("<s>".into()),
        eos_token: Some("</s>".into()),
        ..SpecialTokens::default()
    }
}

fn message(role: Role, content: &str) -> Message {
    Message::new(role, content)
}

fn render(source: &str, messages: &[Message]) -> Result<String, TemplateError> {
    ChatTemplate::new(source, special())?.render(messages, true)
}

// Made by tests/golden/make_chat_golden.py with transformers.
#[test]
fn renderings_are_those_of_transformers() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/golden/chat_templates.json"
    );
    let golden: Json = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    for case in golden["cases"].as_array().unwrap() {
        let (name, chat) = (
            case["template"].as_str().unwrap(),
            case["chat"].as_str().unwrap(),
        );
        let messages: Vec<Message> = serde_json::from_value(golden["chats"][chat].clone()).unwrap();
        let source = golden["templates"][name].as_str().unwrap();
        let template = ChatTemplate::new(source, SpecialTokens::from_json(&golden)).unwrap();
        let rendered = template.render(&messages, case["add_generation_prompt"].as_bool().unwrap());
        match case.get("error") {
            Some(error) => {
                let Err(TemplateError::Refused { message }) = rendered else {
                    panic!("{name} on {chat}: {rendered:?}")
                };
                assert_eq!(message, error.as_str().unwrap());
            }
            None => assert_eq!(
                rendered.unwrap(),
                case["text"].as_str().unwrap(),
                "{name} on {chat}"
            ),
        }
    }
}

// transformers 5.23.0: render_jinja_template([[{"role": "user", "content": "é"}]], chat_template=source,
// add_generation_prompt=True, bos_token="<s>", eos_token="</s>")
#[test]
fn python_spellings_and_absent_tokens_are_those_of_transformers() {
    let source = "{{ bos_token }}|{{ pad_token }}|{{ true }}|{{ none }}|{{ tools is none }}|{{ tools is iterable }}|\
        {{ messages is iterable }}|{{ documents }}|{{ messages[0] | tojson }}|{{ [1, 2] | tojson(separators=(',', ':')) }}";
    let rendered = render(source, &[message(Role::User, "é")]).unwrap();
    assert_eq!(
        rendered,
        "<s>||True|None|True|False|True|None|{\"role\": \"user\", \"content\": \"é\"}|[1,2]"
    );
}

#[test]
fn errors_of_the_template_and_in_the_template_differ() {
    let refused = render("{{ raise_exception('only two turns') }}", &[]).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the chat template refuses these messages: only two turns"
    );
    let syntax = render("a\n{% if %}", &[]).unwrap_err();
    assert!(
        syntax.to_string().starts_with("chat template, line 2: "),
        "{syntax}"
    );
    let wrong = render("{{ messages + 1 }}", &[]).unwrap_err();
    assert!(
        matches!(wrong, TemplateError::Render { line: Some(1), .. }),
        "{wrong}"
    );
}

#[test]
fn chatml_is_the_common_form() {
    let template = ChatTemplate::chatml(SpecialTokens::default()).unwrap();
    let messages = [
        message(Role::System, "Be brief."),
        message(Role::User, "Hi"),
    ];
    assert_eq!(
        template.render(&messages, true).unwrap(),
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    );
}

#[test]
fn a_directory_is_searched_in_the_order_of_transformers() {
    let dir = tempfile::tempdir().unwrap();
    let from_dir = || {
        let template = ChatTemplate::from_hf_dir(dir.path(), special());
        template.map(|template| template.map(|template| template.source().to_string()))
    };
    assert_eq!(from_dir().unwrap(), None);
    let named = r#"{"chat_template": [{"name": "tool_use", "template": "no"}, {"name": "default", "template": "yes"}]}"#;
    std::fs::write(dir.path().join("tokenizer_config.json"), named).unwrap();
    assert_eq!(from_dir().unwrap().as_deref(), Some("yes"));
    std::fs::write(
        dir.path().join("chat_template.json"),
        r#"{"chat_template": "json"}"#,
    )
    .unwrap();
    assert_eq!(from_dir().unwrap().as_deref(), Some("json"));
    std::fs::write(dir.path().join("chat_template.jinja"), "jinja").unwrap();
    assert_eq!(from_dir().unwrap().as_deref(), Some("jinja"));
    std::fs::remove_file(dir.path().join("chat_template.jinja")).unwrap();
    std::fs::write(
        dir.path().join("chat_template.json"),
        r#"{"chat_template": 3}"#,
    )
    .unwrap();
    assert!(
        from_dir()
            .unwrap_err()
            .to_string()
            .contains("neither a string nor a list")
    );
}

#[test]
fn special_tokens_are_read_in_both_forms() {
    let json = serde_json::json!({ "eos_token": { "content": "</s>", "special": true }, "bos_token": "<s>", "pad_token": null });
    assert_eq!(SpecialTokens::from_json(&json), special());
}

#[test]
fn what_else_a_message_has_stands_beside_role_and_content() {
    let call = serde_json::json!([{"type": "function", "function": {"name": "f", "arguments": "{\"x\": 1}"}}]);
    let messages = [
        message(Role::Developer, "d"),
        message(Role::Assistant, "")
            .with("tool_calls", call)
            .with("reasoning_content", "r"),
        message(Role::Tool, "1").with("name", "f"),
    ];
    let source = "{% for m in messages %}[{{ m.role }}|{{ m.content }}|{{ m.name }}|{{ m.reasoning_content }}\
        {% for c in m.tool_calls %}|{{ c.function.name }}{{ c.function.arguments | tojson }}{% endfor %}]{% endfor %}";
    assert_eq!(
        render(source, &messages).unwrap(),
        "[system|d||][assistant|||r|f{\"x\": 1}][tool|1|f|]"
    );
    // A template that looks for texts gets the text, and one that knows the word gets the role.
    let knows = "{% for m in messages %}{{ m.role }}{% for c in m.tool_calls %}{% if c.function.arguments is string %}\
        {{ c.function.arguments }}{% endif %}{% endfor %}{% if m.role == 'developer' %}!{% endif %}{% endfor %}";
    assert_eq!(
        render(knows, &messages).unwrap(),
        "developer!assistant{\"x\": 1}tool"
    );
}

// Made by tests/golden/make_idioms_golden.py with transformers.
#[test]
fn idioms_of_python_are_those_of_transformers() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/golden/chat_idioms.json"
    );
    let golden: Json = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let messages: Vec<Message> = serde_json::from_value(golden["messages"].clone()).unwrap();
    for case in golden["cases"].as_array().unwrap() {
        let source = case["template"].as_str().unwrap();
        let variables = case["variables"].as_object().unwrap().clone();
        let template = ChatTemplate::new(source, SpecialTokens::default()).unwrap();
        let template = template.with_variables(variables).unwrap();
        let rendered = template.render(&messages, true);
        assert_eq!(
            rendered.unwrap(),
            case["text"].as_str().unwrap(),
            "{source}"
        );
    }
}

#[test]
fn variables_stay_with_the_template_and_leave_the_conversation_alone() {
    let variables = |json: Json| json.as_object().unwrap().clone();
    let template = ChatTemplate::new("{{ a }}{{ b }}{{ eos_token }}", special()).unwrap();
    let template = template.with_variables(variables(serde_json::json!({ "a": 1, "b": 2 })));
    let template = template
        .unwrap()
        .with_variables(variables(serde_json::json!({ "b": "x" })));
    let template = template.unwrap();
    assert_eq!(template.render(&[], false).unwrap(), "1x</s>");
    let own = variables(serde_json::json!({ "messages": [] }));
    let message = template.with_variables(own).unwrap_err().to_string();
    assert!(message.contains("messages"), "{message}");
}
