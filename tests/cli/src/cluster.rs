//! A real Kubernetes on this machine, and a namespace of it for each test.
//!
//! `tests/e2e/kubernetes/` has the scripts that install, start and stop it. A cluster is started
//! once for a suite and stopped when its guard is dropped; it has state, port and Linux namespaces
//! of its own, so that several run side by side.

use std::ffi::OsString;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::programs::Programs;
use crate::shop::Ran;

/// Environment variable by which a suite's tests find the cluster: its programs and its state.
const CLUSTER_VARIABLE: &str = "VAULTUP_E2E_CLUSTER";

/// A cluster that runs; it is stopped and removed when this is dropped.
#[derive(Debug)]
pub struct Cluster {
    scripts: PathBuf,
    programs: PathBuf,
    state: PathBuf,
}

/// A namespace of the cluster, and a folder with a stack file about it.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    folder: PathBuf,
    cluster_programs: PathBuf,
    kubeconfig: PathBuf,
    programs: Programs,
}

impl Cluster {
    /// Installs what is missing and starts a cluster. `workspace` is the project's folder.
    ///
    /// # Errors
    /// When a script fails.
    pub fn start(workspace: &Path) -> Result<Self> {
        let scripts = workspace.join("tests/e2e/kubernetes");
        let installed = script(&scripts, "install.sh", &[])?;
        let programs = installed.lines().last().context("install.sh prints its folder")?;
        // A short path: unix sockets allow 107 bytes.
        let state = std::env::temp_dir().join(format!("vaultup-k8s-{}", std::process::id()));
        let cluster = Self { scripts, programs: PathBuf::from(programs), state };
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let words = [&cluster.programs.display().to_string(), &cluster.state.display().to_string()];
        script(&cluster.scripts, "start.sh", &[words[0], words[1], &port.to_string()])?;
        Ok(cluster)
    }

    /// What a suite's tests need in their environment.
    #[must_use]
    pub fn variable(&self) -> (&'static str, OsString) {
        (CLUSTER_VARIABLE, format!("{}:{}", self.programs.display(), self.state.display()).into())
    }
}

impl Cluster {
    /// A new namespace of this cluster, as [`Namespace::open`] makes one.
    ///
    /// # Errors
    /// When a program fails.
    pub fn namespace(
        &self,
        folder: &Path,
        programs: &Programs,
        plugins: &[&str],
    ) -> Result<Namespace> {
        Namespace::of(&self.programs, &self.state, folder, programs, plugins)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Nothing is left running, whatever became of the suite.
        let state = self.state.display().to_string();
        if script(&self.scripts, "stop.sh", &[&state, "--purge"]).is_ok() {
            let _ = fs::remove_dir_all(&self.state);
        }
    }
}

impl Namespace {
    /// A new namespace of the suite's cluster, with the plugins of this name added to the folder's
    /// lock file.
    ///
    /// # Errors
    /// When no suite has started a cluster, or a program fails.
    pub fn open(folder: &Path, programs: &Programs, plugins: &[&str]) -> Result<Self> {
        let said = std::env::var(CLUSTER_VARIABLE)
            .context("there is no cluster: run `cargo xtask e2e kubernetes`")?;
        let (installed, state) = said.split_once(':').context("two folders")?;
        Self::of(Path::new(installed), Path::new(state), folder, programs, plugins)
    }

    fn of(
        installed: &Path,
        state: &Path,
        folder: &Path,
        programs: &Programs,
        plugins: &[&str],
    ) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let namespace = Self {
            name: format!("test-{}-{number}", std::process::id()),
            folder: folder.to_owned(),
            cluster_programs: installed.to_owned(),
            kubeconfig: state.join("admin.conf"),
            programs: programs.clone(),
        };
        namespace.kubectl(&["create", "namespace", &namespace.name])?;
        for plugin in plugins {
            let path = namespace.programs.plugins.join(format!("{plugin}.wasm"));
            let added =
                namespace.vaultup(&["plugin", "add", &path.display().to_string(), "--yes"])?;
            ensure!(added.status == Some(0), "plugin add {plugin}: {}", added.shown());
        }
        Ok(namespace)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The kubeconfig of the cluster.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The folder of the stack file.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a chart of this version to `charts/<version>`, and a release file beside it.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn chart(&self, version: &str, release_file: &str) -> Result<()> {
        let chart = self.folder.join("charts").join(version);
        fs::create_dir_all(chart.join("templates"))?;
        fs::write(chart.join("Chart.yaml"), CHART.replace("VERSION", version))?;
        fs::write(chart.join("values.yaml"), VALUES.replace("VERSION", version))?;
        fs::write(chart.join("templates/all.yaml"), TEMPLATE)?;
        let release = self.folder.join("releases").join(version);
        fs::create_dir_all(&release)?;
        let head = format!("format = 1\nversion = \"{version}\"\n");
        fs::write(release.join("release.toml"), head + release_file)?;
        Ok(())
    }

    /// vaultup in the folder, ready to be run.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.tool(&self.programs.vaultup, arguments);
        command.env("VAULTUP_HOME", self.folder.join("home")).env("NO_COLOR", "1");
        command
    }

    /// Runs vaultup to its end.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn vaultup(&self, arguments: &[&str]) -> Result<Ran> {
        Ok(Ran::of(self.command(arguments).output()?))
    }

    /// Runs kubectl in the namespace; it must succeed.
    ///
    /// # Errors
    /// When it does not.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.succeeds("kubectl", arguments)
    }

    /// Runs helm in the namespace; it must succeed.
    ///
    /// # Errors
    /// When it does not.
    pub fn helm(&self, arguments: &[&str]) -> Result<String> {
        self.succeeds("helm", arguments)
    }

    /// helm or kubectl in the namespace, ready to be run.
    #[must_use]
    pub fn program(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = self.tool(&self.cluster_programs.join("bin").join(name), arguments);
        command.arg(format!("--namespace={}", self.name));
        command
    }

    /// Where one of the suite's own programs lies.
    #[must_use]
    pub fn cluster_program(&self, name: &str) -> PathBuf {
        self.cluster_programs.join("bin").join(name)
    }

    /// Writes a kubeconfig, `gate.conf`, that leads through a port of this machine, and gives the
    /// address that the cluster itself listens on.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn through(&self, port: u16) -> Result<String> {
        let admin = fs::read_to_string(&self.kubeconfig)?;
        let start =
            admin.find("https://").context("a kubeconfig names a server")? + "https://".len();
        let end = start + admin[start..].find('"').context("the address ends")?;
        let address = admin[start..end].to_owned();
        let through = format!("127.0.0.1:{port}");
        fs::write(self.folder.join("gate.conf"), admin.replace(&address, &through))?;
        Ok(address)
    }

    /// vaultup, run by somebody who may only look at the namespace.
    ///
    /// # Errors
    /// When kubectl fails.
    pub fn as_viewer(&self) -> Result<impl Fn(&[&str]) -> Result<Ran>> {
        let rights = "--clusterrole=view";
        let account = format!("--serviceaccount={}:viewer", self.name);
        self.kubectl(&["create", "serviceaccount", "viewer"])?;
        self.kubectl(&["create", "rolebinding", "viewer", rights, &account])?;
        let token = self.kubectl(&["create", "token", "viewer"])?;
        let admin = fs::read_to_string(&self.kubeconfig)?;
        let path = self.folder.join("viewer.conf");
        // The user's part of the kubeconfig is one line; the certificate gives way to a token.
        let user = |line: &str| match line.starts_with("users:") {
            true => format!("users: [{{name: admin, user: {{token: {}}}}}]", token.trim()),
            false => line.to_owned(),
        };
        fs::write(&path, admin.lines().map(user).collect::<Vec<_>>().join("\n"))?;
        Ok(move |arguments: &[&str]| {
            Ok(Ran::of(self.command(arguments).env("KUBECONFIG", &path).output()?))
        })
    }

    /// helm's history of a release: revision, status and what helm says of it.
    ///
    /// # Errors
    /// When helm fails.
    pub fn history(&self, release: &str) -> Result<Vec<(u64, String, String)>> {
        let answer = self.helm(&["history", release, "--output=json"])?;
        let rows: Vec<Value> = serde_json::from_str(&answer)?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let row = |row: &Value| {
            let revision = row["revision"].as_u64().unwrap_or_default();
            (revision, text(&row["status"]), text(&row["description"]))
        };
        Ok(rows.iter().map(row).collect())
    }

    /// Images of the pods that are ready, sorted, each once.
    ///
    /// # Errors
    /// When kubectl fails.
    pub fn serving(&self) -> Result<Vec<String>> {
        let pods: Value =
            serde_json::from_str(&self.kubectl(&["get", "pods", "--output=json"])?)?;
        let is_ready = |pod: &&Value| {
            let conditions = pod["status"]["conditions"].as_array();
            pod["metadata"]["deletionTimestamp"].is_null()
                && conditions
                    .into_iter()
                    .flatten()
                    .any(|its| its["type"] == "Ready" && its["status"] == "True")
        };
        let pods = pods["items"].as_array().cloned().unwrap_or_default();
        let image = |pod: &Value| pod["spec"]["containers"][0]["image"].as_str().map(str::to_owned);
        let mut images: Vec<String> = pods.iter().filter(is_ready).filter_map(image).collect();
        images.sort();
        images.dedup();
        Ok(images)
    }

    fn succeeds(&self, name: &str, arguments: &[&str]) -> Result<String> {
        let output = self.program(name, arguments).output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{name} {}: {errors}", arguments.join(" "));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn tool(&self, program: &Path, arguments: &[&str]) -> Command {
        let search = std::env::var_os("PATH").unwrap_or_default();
        let mut path = self.cluster_programs.join("bin").into_os_string();
        path.push(":");
        path.push(search);
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(&self.folder)
            .env("PATH", path)
            .env("KUBECONFIG", &self.kubeconfig)
            .stdin(Stdio::null());
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The cluster goes as a whole; until then the node has room for others. The folder may be
        // gone already.
        let mut delete =
            self.program("kubectl", &["delete", "namespace", &self.name, "--wait=false"]);
        let _ = delete.current_dir("/").stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

fn script(scripts: &Path, name: &str, words: &[&str]) -> Result<String> {
    let output = Command::new(scripts.join(name))
        .args(words)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run {name}"))?;
    ensure!(output.status.success(), "{name} failed with {}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

const CHART: &str = include_str!("../../e2e/kubernetes/chart/Chart.yaml");
const VALUES: &str = include_str!("../../e2e/kubernetes/chart/values.yaml");
const TEMPLATE: &str = include_str!("../../e2e/kubernetes/chart/templates/all.yaml");
