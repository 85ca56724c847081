//! Every command of the README does what it says, on the quickstart (with few steps).

use std::path::{Path, PathBuf};
use std::process::Command;

const QUICKSTART: [&str; 4] = ["--set", "stage.sft.max_steps=3", "--set", "stage.dpo.max_steps=2"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn readme() -> String {
    std::fs::read_to_string(root().join("README.md")).unwrap()
}

/// Runs `runner ARGUMENTS` in `folder` and returns what it prints.
fn runner(folder: &Path, arguments: &[&str]) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_runner")).args(arguments).current_dir(folder).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "runner {arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Subcommands that the README's table names.
fn documented() -> Vec<String> {
    let readme = readme();
    let rows = readme.lines().filter_map(|line| line.strip_prefix("| `runner "));
    rows.map(|row| row.split([' ', '`']).next().unwrap().to_string()).collect()
}

#[test]
fn the_table_of_commands_is_complete() {
    let help = runner(&root(), &["--help"]);
    let listed =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let mut listed: Vec<String> = listed
        .map(|line| line.split_whitespace().next().unwrap().to_string())
        .filter(|c| c != "help")
        .collect();
    let mut documented = documented();
    listed.sort_unstable();
    documented.sort_unstable();
    assert_eq!(documented, listed);
}

#[test]
fn every_command_runs_on_the_quickstart() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = root().join("recipes/quickstart.toml");
    let recipe = recipe.to_str().unwrap();
    let with = |arguments: &[&str]| {
        let mut all = arguments.to_vec();
        all.extend(QUICKSTART);
        runner(folder.path(), &all)
    };
    for command in documented() {
        let said = match command.as_str() {
            "render" => with(&["render", recipe, "--stage", "dpo", "-n", "1"]),
            "bench" => with(&["bench", recipe, "--steps", "1", "--warmup", "0"]),
            "schema" => runner(folder.path(), &["schema", "recipe"]),
            "score" => score(folder.path()),
            other => with(&[other, recipe]),
        };
        let expected = match command.as_str() {
            "run" => "runs/quickstart/dpo/model",
            "check" => "",
            "plan" => "optimiser",
            "render" => "<|im_start|>",
            "bench" => "pairs/s",
            "schema" => "\"$schema\"",
            "score" => "{\"row\":0,\"chosen\":",
            other => panic!("a new command, `{other}`: say here what it prints"),
        };
        assert!(said.contains(expected), "{command} printed:\n{said}");
    }
    let report = std::fs::read_to_string(folder.path().join("runs/quickstart/report.html")).unwrap();
    assert!(report.contains("<svg") && !report.contains("http://") && !report.contains("https://"));
}

/// What a hardly trained reward model says of pairs.
fn score(folder: &Path) -> String {
    let recipe = root().join("recipes/quickstart-rlhf.toml");
    let few = ["--set", "stage.sft.max_steps=2", "--set", "stage.rm.max_steps=2"];
    let train = ["run", recipe.to_str().unwrap(), "--stage", "rm"];
    runner(folder, &[train.as_slice(), &few].concat());
    let rows = root().join("recipes/data/quickstart.jsonl");
    runner(folder, &["score", "runs/quickstart-rlhf/rm/model", rows.to_str().unwrap()])
}

/// Lines of the README's shell blocks that are not commands of `runner`, and why they are not run here.
const NOT_RUN: [(&str, &str); 4] = [
    ("git clone <this repository> runner && cd runner", "this is the repository"),
    ("cargo run --release -- run recipes/quickstart.toml", "the test of every command does"),
    ("cargo test", "this is it"),
    ("cargo build --release --features cuda", "it needs the CUDA toolkit; CI does where that is installed"),
];

#[test]
fn every_line_for_a_shell_is_tried() {
    let readme = readme();
    let blocks = readme.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let mut tried = Vec::new();
    for line in blocks.flat_map(str::lines).filter(|line| NOT_RUN.iter().all(|(known, _)| known != line)) {
        let arguments = line.strip_prefix("target/release/runner ");
        let arguments = arguments.unwrap_or_else(|| panic!("`{line}`: run it here, or say why not"));
        let recipe = root().join("recipes/quickstart.toml");
        let arguments = arguments.replace("recipes/quickstart.toml", recipe.to_str().unwrap());
        let arguments: Vec<&str> = arguments.split(' ').chain(QUICKSTART).collect();
        let output = Command::new(env!("CARGO_BIN_EXE_runner"))
            .args(&arguments)
            .current_dir(folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // A run needs the GPU that it asks for; a plan goes on without it.
        let missing = said.contains(" --> --set:1:14\n  |\n1 | model.device=cuda\n");
        let code = if missing && arguments[0] == "run" { 2 } else { 0 };
        assert_eq!(output.status.code(), Some(code), "{line}: {said}");
        assert!(missing || cfg!(feature = "cuda"), "{line}: {said}");
        tried.push(arguments[0].to_owned());
    }
    assert_eq!(tried, ["plan", "run"]);
}

#[test]
fn its_files_exist() {
    let readme = readme();
    let links = readme.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
    let commands = readme.split_whitespace().filter(|word| word.starts_with("recipes/"));
    let headings = readme.lines().filter_map(|line| line.strip_prefix("## "));
    let anchors: Vec<String> =
        headings.map(|heading| format!("#{}", heading.to_lowercase().replace(' ', "-"))).collect();
    let mut named: Vec<&str> = links.filter(|link| !link.contains("://")).chain(commands).collect();
    named.retain(|path| {
        !anchors.iter().any(|anchor| anchor == path) && !root().join(path.trim_matches('`')).exists()
    });
    assert_eq!(named, Vec::<&str>::new(), "these are not there");
    for kind in ["sft", "rm", "ppo", "dpo", "kto", "cpo", "orpo", "simpo"] {
        assert!(readme.contains(&format!("\n| `{kind}` | ")), "no row for `{kind}`");
    }
}

#[test]
fn its_recipe_is_a_recipe() {
    let readme = readme();
    let recipe = readme.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("recipes/recipe.toml", recipe);
    let golden = root().join("tests/golden/models/qwen2");
    for name in ["config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"] {
        let text = std::fs::read_to_string(golden.join(name)).unwrap();
        write(&format!("models/Qwen2.5-0.5B-Instruct/{name}"), &text);
    }
    let weights = "model.safetensors";
    std::fs::copy(golden.join(weights), folder.path().join("models/Qwen2.5-0.5B-Instruct").join(weights))
        .unwrap();
    let rows: String = (0..60)
        .map(|i| {
            format!("{{\"question\": \"What is {i}?\", \"good\": \"A number.\", \"bad\": \"No {i}.\"}}\n")
        })
        .collect();
    write("recipes/data/tickets-1.jsonl", &rows);
    // the glob of the README asks for compressed files; these are not
    let plain = recipe.replace("tickets-*.jsonl.gz", "tickets-*.jsonl");
    write("recipes/recipe.toml", &plain);
    let plan = runner(folder.path(), &["plan", "recipes/recipe.toml"]);
    assert!(plan.contains("support-dpo"), "{plan}");
}
