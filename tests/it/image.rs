//! The container's image, as its Dockerfile makes it.

use std::process::Command;

use super::program::{stderr, stdout};

const DOCKERFILE: &str = "deploy/docker/Dockerfile";

#[test]
fn the_image_runs_read_only_without_rights_and_says_how_it_is() {
    let are_there = |tool: &&str| Command::new(tool).arg("--version").output().is_ok();
    if !rustix::process::geteuid().is_root() || !["buildah", "podman"].iter().all(are_there) {
        assert!(std::env::var_os("CI").is_none(), "root, buildah and podman are needed");
        println!("skipped: only root builds the image, and only with buildah and podman");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new("unshare")
        .args(["--mount", "tests/data/machine/image", env!("CARGO_BIN_EXE_twdiag")])
        .arg(directory.path())
        .output()
        .unwrap();
    let (shown, said) = (stdout(&output), stderr(&output));
    assert!(output.status.success(), "{shown}{said}");
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines[0], r#"65532:65532 ["CMD","/usr/bin/twdiag","healthcheck"] ["/usr/bin/twdiag"]"#);
    assert!(lines.contains(&"healthy") && lines.contains(&"healthy by the image's own check"), "{shown}{said}");
    assert!(lines.contains(&"unhealthy where nothing answers"), "{shown}{said}");
    assert_eq!(lines.last(), Some(&"ended with 0"), "{shown}{said}");
}

#[test]
fn the_image_is_compiled_from_what_cargo_needs_with_the_compiler_that_is_promised() {
    let text = std::fs::read_to_string(DOCKERFILE).unwrap();
    let manifest: toml::Table = std::fs::read_to_string("Cargo.toml").unwrap().parse().unwrap();
    let least = manifest["package"]["rust-version"].as_str().unwrap();
    assert!(text.contains(&format!("rust:{least}-")), "the Dockerfile's compiler is not {least}");
    // What the context leaves out must not be missed: every file that the crate's sources name is let in.
    let kept = std::fs::read_to_string("deploy/docker/Dockerfile.dockerignore").unwrap();
    let kept: Vec<&str> = kept.lines().filter_map(|line| line.strip_prefix("!/")).collect();
    for path in ["Cargo.toml", "Cargo.lock", "src", "rules"] {
        assert!(kept.contains(&path), "{path} is left out of {kept:?}");
    }
    let named = Command::new("grep").args(["-rhoE", r#"include_(str|bytes)!\("[^"]+"\)"#, "src"]).output().unwrap();
    for file in stdout(&named).lines().filter_map(|line| line.split('"').nth(1)) {
        let inside = file.trim_start_matches("../");
        let is_kept = kept.iter().any(|path| inside.starts_with(path)) || !file.starts_with("..");
        assert!(is_kept || inside.starts_with("tests/"), "{file} is left out of the image's context");
    }
}
