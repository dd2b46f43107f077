use super::*;
use proptest::prelude::*;
use std::process::Command;

fn values() -> Values<'static> {
    Values {
        model_name: Some("épais_3.1"),
        model_path: Some("/scratch/models/a"),
        images_path: Some("/scratch/images"),
        labels_path: None,
        timestamp: Some("20261120T143048Z"),
        fold_index: Some(2),
        task_number: 3,
        trainer: "/usr/lib/trainmaster/trainmaster-trainer",
        directory: "/state/slurm/0b1f",
    }
}

fn filled(text: &str) -> Result<String, TemplateError> {
    Template::parse(text)?.fill(&values())
}

#[test]
fn variables_are_replaced_and_the_rest_stays_letter_for_letter() {
    let text = "#!/bin/bash\n#SBATCH --output={{fold_index}}.out\nM={{ model_name }}:{{  model_path}} # {x} }} $Y\n\
                echo '{{ \"{{\" }}' {{ task_number }} {{ timestamp }}\nexec {{ run }}";
    assert_eq!(
        filled(text).unwrap(),
        "#!/bin/bash\n#SBATCH --output=2.out\nM=épais_3.1:/scratch/models/a # {x} }} $Y\necho '{{' 3 20261120T143048Z\n\
         exec /usr/lib/trainmaster/trainmaster-trainer slurm /state/slurm/0b1f"
    );
}

#[test]
fn in_an_array_the_shell_is_told_which_fold_it_is() {
    let template =
        Template::parse("#!/bin/sh\n#SBATCH -o f-{{ fold_index }}\nF={{ fold_index }} {{ run }}\n")
            .unwrap();
    let values = Values {
        fold_index: None,
        ..values()
    };
    let script = template.fill(&values).unwrap();
    assert!(script.contains("-o f-%a\n"), "{script}");
    assert!(script.contains("F=${SLURM_ARRAY_TASK_ID} "), "{script}");
}

#[test]
fn what_is_wrong_with_a_template_is_said_with_its_line() {
    let run = "{{ run }}\n";
    for (text, said) in [
        ("echo {{ run }}\n".to_owned(), "#!/bin/bash"),
        (format!("#!/bin/sh\n{run}echo {{{{ oops"), "line 3"),
        (
            format!("#!/bin/sh\n{run}echo {{{{ model_name\n }}}}"),
            "line 3",
        ),
        (
            format!("#!/bin/sh\n{{{{ modle_name }}}}\n{run}"),
            "\"modle_name\"",
        ),
        (format!("#!/bin/sh\n{{{{ Run }}}}\n{run}"), "labels_path"),
        (format!("#!/bin/sh\n{{{{}}}}\n{run}"), "line 2"),
        ("#!/bin/sh\ntrue\n".to_owned(), "{{ run }}"),
        (format!("#!/bin/sh\r\n{run}"), "line ends"),
        (format!("#!/bin/sh\n\0{run}"), "NUL"),
        (
            format!("#!/bin/sh\n{}{run}", "#".repeat(MOST_BYTES)),
            "bytes",
        ),
        (
            format!("#!/bin/sh\n{run}\n\ncat {{{{ labels_path }}}}"),
            "line 5: labels_path has no value",
        ),
    ] {
        let error = filled(&text).unwrap_err().to_string();
        assert!(error.contains(said), "{error} should have {said}");
    }
}

#[test]
fn a_value_that_a_shell_could_understand_is_refused_with_its_name_and_character() {
    let template =
        Template::parse("#!/bin/sh\n: {{ model_name }} {{ images_path }}\n{{ run }}\n").unwrap();
    for (value, said) in [
        ("a b", "' '"),
        ("a;rm", "';'"),
        ("$(id)", "'$'"),
        ("`id`", "'`'"),
        ("a'b", "'\\''"),
        ("a\"b", "'\"'"),
        ("a\nb", "'\\n'"),
        ("a\u{a0}b", "'\\u{a0}'"),
        ("~root", "'~'"),
        ("a*", "'*'"),
        ("a\\", "'\\\\'"),
        ("#x", "'#'"),
        ("{{ run }}", "'{'"),
        ("-rf", "option"),
        ("", "empty"),
    ] {
        let values = Values {
            images_path: Some(value),
            ..values()
        };
        let error = template.fill(&values).unwrap_err().to_string();
        assert!(error.contains("images_path"), "{error}");
        assert!(error.contains(said), "{error} should have {said}");
    }
    let values = Values {
        directory: "/my state/slurm/1",
        ..values()
    };
    let error = template.fill(&values).unwrap_err().to_string();
    assert!(error.contains("state directory"), "{error}");
}

#[test]
fn a_shell_that_becomes_the_run_is_told_from_one_that_does_not() {
    for (text, becomes) in [
        ("#!/bin/sh\nexec {{ run }}\n", true),
        ("#!/bin/sh\n  exec env A=1 {{ run }}\n", true),
        ("#!/bin/sh\n{{ run }}\n", false),
        ("#!/bin/sh\nexec\n{{ run }}\n", false),
        ("#!/bin/sh\nsrun {{ run }}\n", false),
    ] {
        assert_eq!(
            Template::parse(text).unwrap().becomes_the_run(),
            becomes,
            "{text}"
        );
    }
}

/// Prints its arguments, each between two characters that no value has, in every way of writing a word that a template may use.
const CONTEXTS: &str = r#"#!/bin/bash
#SBATCH --job-name={{ model_name }}
# {{ model_name }}
set -eu
show() { for word in "$@"; do printf '<%s>\n' "$word"; done; }
show {{ model_name }}
show "{{ model_name }}"
show '{{ model_name }}'
show $'{{ model_name }}'
show "$(echo "{{ model_name }}")"
show `echo {{ model_name }}`
NAME={{ model_name }}
show "$NAME" ${NONE:-{{ model_name }}} "${NONE:-{{ model_name }}}"
show $(cat <<END
{{ model_name }}
END
)
show "$(cat <<'END'
{{ model_name }}
END
)"
show $(eval echo {{ model_name }})
case x{{ model_name }} in x{{ model_name }}) show {{ model_name }};; esac
if [[ x{{ model_name }} == "x{{ model_name }}" ]]; then show {{ model_name }}; fi
show '{{ run }}'
echo end
"#;

fn printed_by_a_shell(values: &Values<'_>) -> String {
    let script = Template::parse(CONTEXTS).unwrap().fill(values).unwrap();
    let output = Command::new("bash")
        .args(["-c", &script])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("LC_ALL", "C.UTF-8")
        .current_dir(std::env::temp_dir())
        .output()
        .unwrap();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{script}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// However a template quotes a value that is accepted, a shell sees that value and nothing else.
    #[test]
    fn an_accepted_value_is_one_word_in_every_context(
        value in r"[\p{L}\p{Nd}._/+:@%=,]{1,3}[\p{L}\p{Nd}._/+:@%=,-]{0,20}"
    ) {
        let values = Values { model_name: Some(&value), ..values() };
        let word = format!("<{value}>\n");
        let expected = word.repeat(14);
        let run = "</usr/lib/trainmaster/trainmaster-trainer slurm /state/slurm/0b1f>\nend\n";
        prop_assert_eq!(printed_by_a_shell(&values), expected + run);
    }

    /// Whatever is given, the script has what the template has around it, or there is none.
    #[test]
    fn any_value_is_accepted_as_it_is_or_refused(value in any::<String>(), noise in "[ ;$`'\"\\\\&|<>(){}*?!~#\n\t\r\0\u{7f}]{0,2}") {
        let value = format!("{value}{noise}");
        let template = Template::parse("#!/bin/sh\n: a{{ model_name }}z\n{{ run }}").unwrap();
        match template.fill(&Values { model_name: Some(&value), ..values() }) {
            Ok(script) => {
                prop_assert!(value.chars().all(|c| c.is_alphanumeric() || "._/+:@%=,-".contains(c)));
                let line = format!("\n: a{value}z\n");
                prop_assert!(script.contains(&line));
            }
            Err(TemplateError::Value(error)) => prop_assert_eq!(error.name, "model_name"),
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        }
    }

    /// Reading a template neither panics nor accepts one that does not run the work.
    #[test]
    fn any_text_is_a_template_or_not(text in "(#!/bin/sh\n)?([^{}]|[{}]{1,3}|\\{\\{ ?(run|fold_index|x) ?\\}\\}){0,30}") {
        if let Ok(template) = Template::parse(&text) {
            prop_assert!(template.variables().contains(&"run"));
            prop_assert!(template.fill(&values()).is_ok());
        }
    }
}
