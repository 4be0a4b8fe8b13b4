//! The Kustomize base and its variants, held to each other, to the other files for Kubernetes and to
//! the program.

use std::path::Path;
use std::process::Command;

use microbatch::config::{self, Flags, NeedUpstream, keys};
use serde_json::Value;

use crate::page::read;

const HERE: &str = "config/kustomize";

/// Every document of a file.
fn documents(path: &str) -> Vec<Value> {
    use serde::Deserialize as _;
    let text = read(path);
    let all = yaml_serde::Deserializer::from_str(&text);
    all.map(|it| Value::deserialize(it).unwrap_or_else(|error| panic!("{path}: {error}")))
        .collect()
}

/// The only document of a file here.
fn document(path: &str) -> Value {
    let mut all = documents(&format!("{HERE}/{path}"));
    assert_eq!(all.len(), 1, "{path}");
    all.remove(0)
}

fn of_kind<'a>(documents: &'a [Value], kind: &str) -> &'a Value {
    documents.iter().find(|it| it["kind"] == kind).unwrap()
}

fn pod(workload: &Value) -> &Value {
    &workload["spec"]["template"]["spec"]
}

fn default_of(key: &str) -> &'static str {
    let key = keys().iter().find(|it| it.key == key).unwrap();
    key.default.unwrap()
}

#[test]
fn every_resource_that_is_named_is_there() {
    let mut named = 0;
    for directory in ["base", "stand-alone", "sidecar"] {
        let it = document(&format!("{directory}/kustomization.yaml"));
        let resources = it["resources"].as_array().into_iter().flatten();
        let patches = it["patches"].as_array().into_iter().flatten();
        let generated = it["configMapGenerator"].as_array().into_iter().flatten();
        let files = generated.flat_map(|it| it["files"].as_array().unwrap());
        let all = resources.chain(patches.map(|it| &it["path"])).chain(files);
        for path in all.map(|it| it.as_str().unwrap()) {
            let path = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join(HERE)
                .join(directory)
                .join(path);
            assert!(path.exists(), "{}", path.display());
            named += 1;
        }
    }
    assert_eq!(named, 8);
}

#[test]
fn the_rules_are_the_alerts() {
    let rule = document("base/prometheusrule.yaml");
    assert_eq!(vec![rule["spec"].clone()], documents("config/alerts.yml"));
}

#[test]
fn the_sidecar_is_that_of_the_other_file() {
    let patch = document("sidecar/container.yaml");
    let whole = documents("config/kubernetes-sidecar.yaml");
    let whole = of_kind(&whole, "Deployment");
    assert_eq!(pod(&patch)["initContainers"], pod(whole)["initContainers"]);
}

#[test]
fn the_stand_alone_one_is_run_as_the_others_are() {
    let deployment = document("stand-alone/deployment.yaml");
    let container = &pod(&deployment)["containers"][0];
    let other = documents("config/kubernetes-one-machine.yaml");
    let other = &pod(of_kind(&other, "StatefulSet"))["containers"][0];
    for part in [
        "ports",
        "readinessProbe",
        "livenessProbe",
        "securityContext",
    ] {
        assert_eq!(container[part], other[part], "{part}");
        assert!(container[part].is_object() || container[part].is_array());
    }
    // Both ports are those of the defaults, and the monitor and the service name them.
    let port = |name: &str| {
        let ports = container["ports"].as_array().unwrap();
        let port = ports.iter().find(|it| it["name"] == name).unwrap();
        port["containerPort"].to_string()
    };
    for (name, key) in [("mb-jobs", "server.listen"), ("mb-admin", "admin.listen")] {
        let default = default_of(key).rsplit_once(':').unwrap().1;
        assert_eq!(port(name), default, "{key}");
    }
    let service = document("stand-alone/service.yaml");
    assert_eq!(service["spec"]["ports"][0]["targetPort"], "mb-jobs");
    let monitor = document("base/podmonitor.yaml");
    assert_eq!(
        monitor["spec"]["podMetricsEndpoints"][0]["port"],
        "mb-admin"
    );

    // Every selector finds the pods.
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    let policy = document("stand-alone/networkpolicy.yaml");
    for selector in [
        &deployment["spec"]["selector"]["matchLabels"],
        &service["spec"]["selector"],
        &policy["spec"]["podSelector"]["matchLabels"],
        &monitor["spec"]["selector"]["matchLabels"],
    ] {
        for (label, value) in selector.as_object().unwrap() {
            assert_eq!(&labels[label], value, "{label}");
        }
    }
    let patch = document("sidecar/container.yaml");
    let beside = &patch["spec"]["template"]["metadata"]["labels"];
    for (label, value) in monitor["spec"]["selector"]["matchLabels"]
        .as_object()
        .unwrap()
    {
        assert_eq!(&beside[label], value, "{label}");
    }
}

#[test]
fn its_settings_load_and_end_in_time() {
    let deployment = document("stand-alone/deployment.yaml");
    let container = &pod(&deployment)["containers"][0];
    let env = container["env"].as_array().unwrap().iter();
    let env = env.map(|it| [&it["name"], &it["value"]].map(|it| it.as_str().unwrap()));
    let (files, env): (Vec<_>, Vec<_>) = env.partition(|[name, _]| *name == "MICROBATCH_CONFIG");
    let mounted = container["volumeMounts"][0]["mountPath"].as_str().unwrap();
    assert_eq!(files[0][1], format!("{mounted}/microbatch.toml"));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(HERE);
    let mut flags = Flags::default();
    flags.config = Some(path.join("stand-alone/microbatch.toml"));
    let env = env
        .into_iter()
        .map(|[name, value]| (name.into(), value.into()));
    let loaded = config::load(&flags, env, NeedUpstream::Yes).unwrap();
    assert_eq!(loaded.warnings, [""; 0]);
    let shutdown = loaded.settings.shutdown;
    let needs = (shutdown.delay + shutdown.timeout).as_secs() + 2;
    let grace = pod(&deployment)["terminationGracePeriodSeconds"].as_u64();
    assert!(grace.unwrap() >= needs, "{grace:?} is less than {needs}");
}

/// By kubectl, where it is installed.
#[test]
fn kustomize_builds_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(HERE);
    for variant in ["base", "stand-alone"] {
        let built = Command::new("kubectl")
            .arg("kustomize")
            .arg(path.join(variant))
            .output();
        let Ok(built) = built else {
            eprintln!("SKIPPED: there is no kubectl");
            return;
        };
        let said = String::from_utf8_lossy(&built.stderr);
        assert!(built.status.success(), "{variant}: {said}");
        let text = String::from_utf8_lossy(&built.stdout);
        assert!(text.contains("kind: PrometheusRule"), "{text}");
    }
}
