use super::*;

/// A patch that adds lines to one file.
fn adding(path: &str, lines: &[&str]) -> git::Patch {
    let mut text = format!(
        "diff --git a/{path} b/{path}\nnew file mode 100644\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1,{} @@\n",
        lines.len()
    );
    for line in lines {
        writeln!(text, "+{line}").unwrap();
    }
    git::Patch {
        text: text.into_bytes(),
        ..git::Patch::default()
    }
}

fn known(secrets: &[&str]) -> Known {
    let secrets: Vec<_> = secrets.iter().map(|&secret| SecretString::from(secret)).collect();
    Known::new(&secrets).unwrap()
}

fn kinds(path: &str, lines: &[&str]) -> Vec<&'static str> {
    in_patch(&adding(path, lines), &known(&[]))
        .into_iter()
        .map(|finding| finding.kind)
        .collect()
}

/// Put together here, so that no file of this repository has a token in it.
fn token(prefix: &str, body: &str) -> String {
    format!("{prefix}{body}")
}

/// Characters as random ones would be, the same every time.
fn random(of: &str, count: usize) -> String {
    let of: Vec<_> = of.chars().collect();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            of[usize::try_from(state % of.len() as u64).unwrap()]
        })
        .collect()
}

const ALPHANUMERIC: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const BASE32: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const HEX: &str = "0123456789abcdef";

#[test]
fn tokens_of_every_known_shape_are_found() {
    let long = random(ALPHANUMERIC, 100);
    for (line, kind) in [
        (
            format!("key = {}", token("AKIA", &random(BASE32, 16))),
            "an AWS access key",
        ),
        (
            format!("aws: '{}'", token("ASIA", &random(BASE32, 16))),
            "an AWS access key",
        ),
        (token("ghp_", &long[..36]), "a GitHub token"),
        (format!("x(\"{}\")", token("gho_", &long[..36])), "a GitHub token"),
        (token("github_pat_", &long[..82]), "a GitHub token"),
        (token("glpat-", &long[..20]), "a GitLab token"),
        (token("glrt-", &long[..20]), "a GitLab token"),
        (
            token("xoxb-", &format!("1029384756-5647382910-{}", &long[..24])),
            "a Slack token",
        ),
        (
            token(
                "https://hooks.slack.com/services/T",
                &format!("04AB6CD8/B0ZZ9Y8X7/{}", &long[..24]),
            ),
            "a Slack webhook",
        ),
        (
            token("BBDC-", &format!("{}=", &long[..43])),
            "a Bitbucket access token",
        ),
        (token("ATBB", &long[..32]), "an Atlassian token"),
        (token("ATATT3", &long[..90]), "an Atlassian token"),
        (token("AIza", &long[..35]), "a Google API key"),
        (token("GOCSPX-", &long[..28]), "a Google client secret"),
        (token("ya29.", &long), "a Google access token"),
        (token("sk_live_", &long[..24]), "a Stripe key"),
        (token("whsec_", &long[..32]), "a Stripe key"),
        (
            token("//registry.npmjs.org/:_authToken=npm_", &long[..36]),
            "an npm token",
        ),
        (token("pypi-AgEIcHlwaS5vcmc", &long[..80]), "a PyPI token"),
        (token("cio", &long[..32]), "a crates.io token"),
        (token("sk-proj-", &long[..80]), "an OpenAI key"),
        (token("sk-", &long[..48]), "an OpenAI key"),
        (token("sk-ant-api03-", &long[..90]), "an Anthropic key"),
        (token("hf_", &long[..34]), "a Hugging Face token"),
        (token("dop_v1_", &random(HEX, 64)), "a DigitalOcean token"),
        (
            token("SG.", &format!("{}.{}", &long[..22], &long[22..65])),
            "a SendGrid key",
        ),
        (
            token("AccountKey=", &format!("{}==", random(ALPHANUMERIC, 86))),
            "an Azure storage key",
        ),
        (token("SU", &random(BASE32, 56)), "a NATS key"),
        (
            format!(
                "Bearer {}.{}.{}",
                token("ey", "JhbGciOiJSUzI1NiJ9"),
                token("ey", "Jpc3MiOiJodHRwcyJ9"),
                &long[..43]
            ),
            "a JSON Web Token",
        ),
    ] {
        assert_eq!(kinds("src/a.rs", &[&line]), [kind], "{line}");
        // Also in generated files, in which names mean nothing.
        assert_eq!(kinds("package-lock.json", &[&line]), [kind], "{line}");
    }
}

#[test]
fn private_keys_are_found_with_their_content_only() {
    let begin = |label: &str| format!("-----BEGIN {label}-----");
    let body = random(ALPHANUMERIC, 64);
    for label in [
        "PRIVATE KEY",
        "RSA PRIVATE KEY",
        "OPENSSH PRIVATE KEY",
        "EC PRIVATE KEY",
        "PGP PRIVATE KEY BLOCK",
    ] {
        assert_eq!(kinds("id", &[&begin(label), &body]), ["a private key"], "{label}");
    }
    let headers = [
        &begin("RSA PRIVATE KEY"),
        "Proc-Type: 4,ENCRYPTED",
        "DEK-Info: AES",
        "",
        &body,
    ];
    assert_eq!(kinds("id", &headers), ["a private key"]);
    let in_code = format!("const KEY: &str = \"{}\\n{body}\\n\";", begin("PRIVATE KEY"));
    assert_eq!(kinds("a.rs", &[&in_code]), ["a private key"]);
    for harmless in [
        vec![format!("if text.contains(\"{}\") {{", begin("PRIVATE KEY"))],
        vec![begin("CERTIFICATE"), body.clone()],
        vec![begin("PUBLIC KEY"), body.clone()],
        vec![
            begin("PRIVATE KEY"),
            "...".to_owned(),
            "-----END PRIVATE KEY-----".to_owned(),
        ],
    ] {
        let lines: Vec<_> = harmless.iter().map(String::as_str).collect();
        assert_eq!(kinds("a.rs", &lines), Vec::<&str>::new(), "{lines:?}");
    }
}

#[test]
fn what_is_called_a_secret_and_looks_random_is_found() {
    let value = random(ALPHANUMERIC, 24);
    let hex = random(HEX, 40);
    for (path, line) in [
        ("a.py", format!("password = \"{value}\"")),
        ("a.rs", format!("    let db_password: &str = \"{value}\";")),
        ("a.js", format!("const config = {{ apiKey: '{value}' }};")),
        ("a.rb", format!(":client_secret => '{value}',")),
        ("a.json", format!("  \"clientSecret\": \"{value}\",")),
        (
            "a.java",
            format!("private static final String API_TOKEN = \"{hex}\";"),
        ),
        ("app.yml", format!("  secret: {value}")),
        (".env", format!("export DB_PASSWORD={value}")),
        ("prod.env", format!("SECRET_KEY_BASE={hex}")),
        (
            "gradle.properties",
            format!("signing.password={value} # for releases"),
        ),
        (
            "a.tf",
            format!("secret_access_key = \"{value}/{}\"", &value[..10]),
        ),
        (
            "a.go",
            format!("dsn := \"postgres://app:{value}@db.internal:5432/app\""),
        ),
    ] {
        assert_eq!(kinds(path, &[&line]).len(), 1, "{path}: {line}");
    }
}

#[test]
fn what_only_resembles_a_secret_is_no_alarm() {
    let value = random(ALPHANUMERIC, 40);
    let hex = random(HEX, 40);
    let sha512 = format!("sha512-{}==", random(ALPHANUMERIC, 86));
    for (path, line) in [
        ("Cargo.lock", format!("checksum = \"{}\"", random(HEX, 64))),
        ("package-lock.json", format!("\"integrity\": \"{sha512}\"")),
        ("yarn.lock", format!("  token \"{value}\"")),
        ("pnpm-lock.yaml", format!("secret: {value}")),
        ("go.sum", format!("example.com/token v1.0.0 h1:{value}=")),
        ("a.rs", format!("let commit = \"{hex}\";")),
        ("a.rs", "let token = \"6f1ed002-ab5d-4c1b-8c3e-0a1b2c3d4e5f\";".to_owned()),
        ("a.html", format!("<img src=\"data:image/png;base64,{value}{value}\">")),
        ("a.css", format!("background: url(data:font/woff2;base64,{value}{value})")),
        ("a.py", "password = os.environ[\"DATABASE_PASSWORD_2024\"]".to_owned()),
        ("a.js", "const apiKey = process.env.API_KEY_V2_Production;".to_owned()),
        ("a.ts", "token: string;".to_owned()),
        ("a.rs", "let token = tokenizer.next_token(\"Abc123\");".to_owned()),
        ("a.rs", "password = \"Password123Password123\"".to_owned()),
        ("a.py", "password = \"correct-horse-battery-staple-9X\"".to_owned()),
        ("a.yml", "password: ${DB_PASSWORD_Production1}".to_owned()),
        ("a.yml", "secret: {{ .Values.Secret1234ABCD }}".to_owned()),
        ("a.yml", "secretName: app-Credentials-2024-Production".to_owned()),
        ("a.yml", "secret: vault://kv/data/App1/ProductionKey".to_owned()),
        ("a.tf", "secret = \"/run/secrets/App1/ProductionKey2\"".to_owned()),
        ("a.env", "API_KEY=xxxxxxxxxxxxxxxxxxxxxxxx".to_owned()),
        ("a.env", "API_KEY=<Your-API-Key-1234567>".to_owned()),
        ("a.env", "API_KEY=changeme_Please_123456".to_owned()),
        ("a.py", "AWS_ACCESS_KEY_ID = \"AKIAIOSFODNN7EXAMPLE\"".to_owned()),
        ("a.md", format!("ghp_{}", "x".repeat(36))),
        ("a.md", "Use a token such as ghp_1234567890abcdefghijklmnopqrstuvwxyz".to_owned()),
        ("a.md", "sk-ant-api03-... and glpat-<token> and xoxb-your-token".to_owned()),
        ("a.rs", "fn sk_live_mode_is_not_used_in_tests_of_payments() {}".to_owned()),
        ("a.rs", "struct AKIAparser; let hf_transform_matrix_of_the_last_frame = 1;".to_owned()),
        (
            "a.md",
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIn0.SflKxwRJSMeKKF2QT4"
                .to_owned(),
        ),
        ("a.rs", "password_hash = \"$2b$12$KIXQ0f1mJ3vYp9aB7cD8eOuVwXyZ1234567890abcdefghijkl\"".to_owned()),
        ("a.md", "Passwords: at least 16 characters, letters and digits (Abc123)".to_owned()),
        ("a.go", "url := \"https://user:pass@example.com/\"".to_owned()),
        ("docker-compose.yml", "POSTGRES_PASSWORD: postgres".to_owned()),
        ("a.json", format!("\"password\": \"{}\"", "a".repeat(40))),
        ("a.snap", format!("token: \"{value}\"")),
        ("i18n.json", "\"password\": \"Geben Sie Ihr Kennwort Nr1 ein\"".to_owned()),
        ("a.rs", "let cache_key = \"Zx81-Spectrum-48K-Model\"; let primary_key = \"Ab1Cd2Ef3Gh4Ij5Kl6\";".to_owned()),
    ] {
        assert_eq!(kinds(path, &[&line]), Vec::<&str>::new(), "{path}: {line}");
    }
}

#[test]
fn only_what_is_added_counts() {
    let secret = token("ghp_", &random(ALPHANUMERIC, 36));
    let patch = |line: &str| git::Patch {
        text: format!(
            "diff --git a/x b/x\nindex 1..2 100644\n--- a/x\n+++ b/x\n@@ -6,2 +6,2 @@\n {secret}\n{line}\n"
        )
        .into_bytes(),
        ..git::Patch::default()
    };
    assert_eq!(in_patch(&patch(&format!("-{secret}\n+gone")), &known(&[])), []);
    let findings = in_patch(&patch(&format!("-gone\n+{secret}")), &known(&[]));
    assert_eq!(findings[0].to_string(), "`x` line 7: a GitHub token");
    assert!(!findings[0].to_string().contains(&secret));
}

#[test]
fn our_own_credentials_are_found_whatever_they_look_like() {
    let known = known(&["just-some-words-here", "short"]);
    let findings = in_patch(
        &adding("a.md", &["short", "It says: just-some-words-here."]),
        &known,
    );
    assert_eq!(findings.len(), 1);
    assert_eq!(
        findings[0].to_string(),
        "`a.md` line 2: a credential of this service"
    );
    let binary = git::Patch {
        binary: vec![git::BinaryFile {
            path: "a.bin".to_owned(),
            content: b"\0\xffjust-some-words-here\0".to_vec(),
        }],
        ..git::Patch::default()
    };
    assert_eq!(
        in_patch(&binary, &known)[0].to_string(),
        "`a.bin`: a credential of this service"
    );
    let findings = in_patch(&adding("just-some-words-here.txt", &["x"]), &known);
    assert_eq!(findings[0].to_string(), IN_A_PATH);
}

#[test]
fn our_own_credentials_are_found_in_base64_and_in_hex_too() {
    use std::fmt::Write as _;

    let known = known(&["just-some-words-here"]);
    let hex = |text: &str| {
        text.bytes().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").unwrap();
            hex
        })
    };
    let of_user = hex("x-token:just-some-words-here");
    for hidden in [
        // `openhands:just-some-words-here`, as in a header of basic authentication.
        "b3BlbmhhbmRzOmp1c3Qtc29tZS13b3Jkcy1oZXJl",
        // The same behind one and two letters more, so that it lies otherwise in its groups of three.
        "eG9wZW5oYW5kczpqdXN0LXNvbWUtd29yZHMtaGVyZQ==",
        "eHhvcGVuaGFuZHM6anVzdC1zb21lLXdvcmRzLWhlcmU=",
        &of_user,
        &of_user.to_uppercase(),
    ] {
        let findings = in_patch(&adding("a.md", &[hidden]), &known);
        assert_eq!(findings.len(), 1, "{hidden}");
        assert_eq!(findings[0].kind, OURS, "{hidden}");
        let text = redacted(&format!("I found {hidden} there."), &known);
        assert!(text.contains("[a credential of this service was here]"), "{text}");
    }
    let other = hex("x-token:other-words-are-there");
    assert_eq!(in_patch(&adding("a.md", &[&other]), &known), []);
}

#[test]
fn words_of_placeholders_inside_a_random_value_make_it_no_placeholder() {
    // Put together here, so that no file of this repository has a password in it.
    let around = |word: &str| format!("V7qz{word}k9R4TbLm2Xw8");
    for word in ["user", "admin", "test", "local", "token", "demo", "canary"] {
        let line = format!("password = \"{}\"", around(word));
        assert_eq!(kinds("a.py", &[&line]), ["a password or key"], "{line}");
    }
    let line = format!("password = \"canary-{}\"", around("x"));
    assert_eq!(kinds("a.py", &[&line]), ["a password or key"], "{line}");
    for placeholder in [
        "TestUser-Password-2024-Nr1",
        "my-admin-Account-2024-Pw9",
        "localTokenForDevelopment42X",
        "change-me-Before-Production-1",
    ] {
        let line = format!("password = \"{placeholder}\"");
        assert_eq!(kinds("a.py", &[&line]), Vec::<&str>::new(), "{line}");
    }
}

#[test]
fn texts_lose_their_tokens_and_nothing_else() {
    let secret = token("glpat-", &random(ALPHANUMERIC, 20));
    let known = known(&["just-some-words-here"]);
    assert_eq!(
        redacted(
            &format!("I used é {secret}, then just-some-words-here and {secret}."),
            &known
        ),
        "I used é [a GitLab token was here], then [a credential of this service was here] and [a GitLab token was here]."
    );
    let plain = "Fixed `token = next()` in src/a.rs; checksum 9f86d081884c7d659a2feaa0c55ad015.";
    assert_eq!(redacted(plain, &known), plain);
    // What a reply leaves out would join it again.
    for between in ["\u{200b}", "\u{1b}[0m", "\u{0}"] {
        let split = secret.replacen("glpat-", &format!("glpat-{between}"), 1);
        assert_eq!(redacted(&split, &known), "[a GitLab token was here]");
    }
    let key = format!("x {}\nabc", token("-----BEGIN RSA PRIVATE", " KEY-----"));
    assert_eq!(redacted(&key, &known), "x [a private key was here]");
}
