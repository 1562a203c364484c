//! Stack files, releases and objects as an operator would have written them.

use std::fs;
use std::path::Path;

use stage::Namespace;

/// A stack file that grows by one part of the stack at a time.
pub(crate) struct StackFile<'a> {
    namespace: &'a Namespace,
    text: String,
}

impl<'a> StackFile<'a> {
    pub(crate) fn new(namespace: &'a Namespace, name: &str) -> Self {
        let text = format!("format = 1\n[stack]\nname = \"{name}\"\nreleases = \"releases\"\n");
        Self { namespace, text }
    }

    /// A component that is the helm release of its name. `entries` and `settings` are more lines of
    /// the component and of its settings.
    pub(crate) fn helm(self, name: &str, within: &str, entries: &str, settings: &str) -> Self {
        let release = format!("release = \"{name}\"\n{settings}");
        self.component("helm", name, within, entries, &release)
    }

    /// A component that is this workload, such as `deployment/api`, and has its name.
    pub(crate) fn workload(self, workload: &str, within: &str, entries: &str) -> Self {
        let (_, name) = workload.split_once('/').unwrap();
        let settings = format!("workload = \"{workload}\"");
        self.component("kubernetes", name, within, entries, &settings)
    }

    fn component(
        self,
        plugin: &str,
        name: &str,
        within: &str,
        entries: &str,
        settings: &str,
    ) -> Self {
        let namespace = self.namespace.name();
        self.lines(&format!(
            "[components.{name}]\nplugin = \"{plugin}\"\nwithin = \"{within}\"\n{entries}\n\
             [components.{name}.settings]\nnamespace = \"{namespace}\"\n{settings}"
        ))
    }

    /// A datastore that is the directory `data`, whose schema the sample application tells.
    /// `writers` are the names of components in quotation marks.
    pub(crate) fn store(self, name: &str, writers: &str) -> Self {
        let app = self.namespace.cluster_program("app").display().to_string();
        self.lines(&format!(
            "[datastores.{name}]\nplugin = \"files\"\nwritten-by = [{writers}]\n\
             [datastores.{name}.settings]\npath = \"data\"\n\
             schema = [\"{app}\", \"schema\", \"${{directory}}\"]"
        ))
    }

    /// More lines.
    pub(crate) fn lines(mut self, lines: &str) -> Self {
        self.text.push_str(lines);
        self.text.push('\n');
        self
    }

    /// Writes it where the test's vaultup looks for it.
    pub(crate) fn write(&self) {
        self.write_to(self.namespace.folder());
    }

    pub(crate) fn write_to(&self, folder: &Path) {
        fs::write(folder.join("vaultup.toml"), &self.text).unwrap();
    }
}

/// Writes `releases/VERSION/release.toml` into a folder.
pub(crate) fn write_release(folder: &Path, version: &str, entries: &str) {
    let folder = folder.join("releases").join(version);
    fs::create_dir_all(&folder).unwrap();
    let text = format!("format = 1\nversion = \"{version}\"\n{entries}");
    fs::write(folder.join("release.toml"), text).unwrap();
}

/// The entry of a component in a release: the sample application with this tag.
pub(crate) fn image(component: &str, tag: &str) -> String {
    format!("[components.{component}]\nimage = \"localhost/app:{tag}\"\n")
}

/// Writes a store of schema 1 with two orders to `data`.
pub(crate) fn write_store(folder: &Path) {
    fs::create_dir_all(folder.join("data")).unwrap();
    fs::write(folder.join("data/schema.json"), r#"{"version":1}"#).unwrap();
    fs::write(folder.join("data/orders"), "one\ntwo\n").unwrap();
}

/// Values of a chart whose hook migrates the store with these words, such as `migrate, -fail`.
pub(crate) fn write_migrating_values(folder: &Path, words: &str) {
    let values = format!("hook: {{enabled: true, migrate: [{words}, /data, \"3\"]}}\n");
    fs::write(folder.join("migrating.yaml"), values).unwrap();
}

/// What the store says of its schema.
pub(crate) fn schema(namespace: &Namespace) -> String {
    fs::read_to_string(namespace.folder().join("data/schema.json")).unwrap()
}

/// A Deployment of the sample application at 1.0.0.
pub(crate) fn deployment(name: &str) -> String {
    workload("Deployment", name, &["replicas: 1"], &[], &[])
}

/// A StatefulSet of the sample application at 1.0.0, whose pods do not wait for each other.
pub(crate) fn stateful_set(name: &str, replicas: u32) -> String {
    let (replicas, service) = (format!("replicas: {replicas}"), format!("serviceName: {name}"));
    let spec = [replicas.as_str(), service.as_str(), "podManagementPolicy: Parallel"];
    workload("StatefulSet", name, &spec, &[], &[])
}

/// The Deployment `api` at 1.0.0 with two instances, the Secret `api` in its environment and this
/// directory of the machine as its store.
pub(crate) fn api_with_store(directory: &Path) -> String {
    let spec = [
        "replicas: 2",
        "progressDeadlineSeconds: 300",
        "strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 1}}",
    ];
    let container = [
        "env: [{name: DATA, value: /data}]",
        "envFrom: [{secretRef: {name: api}}]",
        "volumeMounts: [{name: data, mountPath: /data}]",
    ];
    let path = directory.display();
    let volumes = format!("volumes: [{{name: data, hostPath: {{path: {path}, type: Directory}}}}]");
    workload("Deployment", "api", &spec, &container, &[&volumes])
}

/// The sample application at 1.0.0, with these lines more of its specification, of its container
/// and of its pods.
fn workload(kind: &str, name: &str, spec: &[&str], container: &[&str], pod: &[&str]) -> String {
    let (spec, container, pod) =
        (spec.join("\n  "), container.join("\n        "), pod.join("\n      "));
    format!(
        "apiVersion: apps/v1
kind: {kind}
metadata: {{name: {name}}}
spec:
  {spec}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: app
        image: localhost/app:1.0.0
        imagePullPolicy: IfNotPresent
        readinessProbe: {{httpGet: {{path: /health, port: 8080}}, periodSeconds: 1}}
        {container}
      {pod}
---
"
    )
}

/// A CronJob of the sample application at 1.0.0 that runs once a year, for so long.
pub(crate) fn cron_job(name: &str, runs_for: &str) -> String {
    format!(
        "apiVersion: batch/v1
kind: CronJob
metadata: {{name: {name}}}
spec:
  schedule: \"0 0 1 1 *\"
  jobTemplate:
    spec:
      backoffLimit: 0
      template:
        spec:
          restartPolicy: Never
          containers:
          - name: app
            image: localhost/app:1.0.0
            imagePullPolicy: IfNotPresent
            args: [job, -sleep, {runs_for}, digesting]
---
"
    )
}

/// Applies objects and waits until these workloads are rolled out.
pub(crate) fn apply(namespace: &Namespace, objects: &str, workloads: &[&str]) {
    let file = namespace.folder().join("objects.yaml");
    fs::write(file, objects).unwrap();
    namespace.kubectl(&["apply", "--filename=objects.yaml"]).unwrap();
    for workload in workloads {
        namespace.kubectl(&["rollout", "status", workload, "--timeout=4m"]).unwrap();
    }
}
