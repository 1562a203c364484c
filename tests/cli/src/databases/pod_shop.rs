//! The shop of [`crate::Shop`] with its orders in a PostgreSQL that runs inside a pod and listens
//! on no network at all: `kubectl exec -i` is the only way in, for vaultup as for the application.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::postgres::output;
use super::scripts;
use crate::cluster::Namespace;
use crate::programs::Programs;
use crate::shop::{RELEASES, Ran, free_port};

const STACK_FILE: &str = include_str!("pod.toml");
const DEPLOYMENT: &str = include_str!("pod.yaml");
/// Whom and which database the application connects to, through the socket in the pod.
const CONNECTION: &str = "postgresql:///shop?user=shop";

/// A shop in a folder of its own, with a database in a namespace of its own.
#[derive(Debug)]
pub struct PodShop {
    namespace: Namespace,
    folder: PathBuf,
    port: u16,
    programs: Programs,
}

impl PodShop {
    /// Brings the image to the cluster, and opens a shop at release 1.0.0 with so many orders.
    ///
    /// # Errors
    /// When a program or the cluster fails.
    pub fn open(
        namespace: Namespace,
        folder: &Path,
        programs: &Programs,
        orders: u32,
    ) -> Result<Self> {
        let (folder, programs) = (folder.to_owned(), programs.clone());
        let shop = Self { namespace, folder, port: free_port()?, programs };
        for name in ["keys", "run", "tools", "data"] {
            fs::create_dir_all(shop.folder.join(name))?;
        }
        shop.import_images()?;
        shop.deploy_database()?;
        for release in RELEASES {
            shop.install(release, &[])?;
        }
        let stack = shop.filled_in(STACK_FILE);
        fs::write(shop.folder.join("vaultup.toml"), stack)?;
        std::os::unix::fs::symlink("releases/1.0.0", shop.folder.join("current"))?;
        shop.installed(&[
            "seed",
            "--orders",
            &orders.to_string(),
            "--key",
            "keys/signing.key",
            "--database",
            CONNECTION,
        ])?;
        shop.start()?;
        Ok(shop)
    }

    /// Installs a release of the application with these faults; the database has an image of the
    /// same version.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn install(&self, version: &str, faults: &[&str]) -> Result<()> {
        let mut command = Command::new(&self.programs.sample);
        command.args(["install", "--into", "releases", "--release", version]);
        command.current_dir(&self.folder);
        for fault in faults {
            command.args(["--fault", fault]);
        }
        output(command)?;
        let schema = version.split('.').next().unwrap_or_default();
        let migrate = match version {
            "1.0.0" => String::new(),
            _ => format!(
                "migration = \"{}\"\nmigrate = {{ with = \"api\", command = \
                 [\"bin/vaultup-sample\", \"migrate\", \"--database\", \"{CONNECTION}\"] }}\n",
                if version == "2.0.0" { "compatible" } else { "breaking" }
            ),
        };
        let text = format!(
            "format = 1\nversion = \"{version}\"\n[components.db]\n\
             image = \"localhost/postgres:{version}\"\n[datastores.orders]\nschema = {schema}\n\
             {migrate}"
        );
        fs::write(self.folder.join("releases").join(version).join("release.toml"), text)?;
        Ok(())
    }

    /// vaultup in the shop's folder, ready to be run.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.namespace.command(arguments);
        let named = command.get_envs().find(|(name, _)| *name == "PATH");
        let path = named.and_then(|(_, value)| value).unwrap_or_default().to_owned();
        let tools = self.folder.join("tools");
        command.env("PATH", [tools.as_os_str(), &path].join(std::ffi::OsStr::new(":")));
        command
    }

    /// Runs vaultup to its end.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn vaultup(&self, arguments: &[&str]) -> Result<Ran> {
        Ok(Ran::of(self.command(arguments).output()?))
    }

    /// What the pod's `psql` answers to a script, as the superuser.
    ///
    /// # Errors
    /// When a statement fails.
    pub fn psql(&self, database: &str, script: &str) -> Result<String> {
        let mut command = Command::new(self.folder.join("tools/psql"));
        command.args(["-XqtA", "--set=ON_ERROR_STOP=1", "--username=postgres", "--dbname"]);
        command.args([database, "--command", script]);
        Ok(output(command)?.trim_end().to_owned())
    }

    /// Orders and a digest of all rows, whatever the schema.
    ///
    /// # Errors
    /// When the database does not answer.
    pub fn digest(&self) -> Result<String> {
        Ok(self.installed(&["digest", "--database", CONNECTION])?.trim().to_owned())
    }

    /// The version that answers on the shop's address; none if nothing does.
    ///
    /// # Errors
    /// When the status cannot be told.
    pub fn serving(&self) -> Result<Option<String>> {
        let mut command = Command::new(&self.programs.sample);
        let address = format!("127.0.0.1:{}", self.port);
        command.args(["status", "--pid-file", "run/api.pid", "--listen", &address]);
        command.current_dir(&self.folder);
        let line: Value = serde_json::from_str(&output(command)?)?;
        let ready = line["ready"].as_bool().unwrap_or(false);
        Ok(line["version"].as_str().filter(|_| ready).map(str::to_owned))
    }

    /// Where the cluster's own tools lie.
    #[must_use]
    pub fn cluster_tools(&self) -> PathBuf {
        let kubectl = self.namespace.cluster_program("kubectl");
        kubectl.parent().map(Path::to_owned).unwrap_or_default()
    }

    fn import_images(&self) -> Result<()> {
        let archive = self.folder.join("postgres.tar");
        let mut image = Command::new(scripts().join("postgres-image.sh"));
        image.arg(&archive);
        image.args(RELEASES.map(|version| format!("localhost/postgres:{version}")));
        output(image)?;
        let socket = self.state()?.join("run/containerd.sock");
        let mut import = Command::new("ctr");
        import.arg("-a").arg(socket).args(["-n", "k8s.io", "images", "import"]).arg(&archive);
        output(import)?;
        Ok(fs::remove_file(archive)?)
    }

    fn deploy_database(&self) -> Result<()> {
        let mut owner = Command::new("chown");
        owner.arg("postgres:postgres").arg(self.folder.join("data"));
        output(owner)?;
        fs::write(self.folder.join("db.yaml"), self.filled_in(DEPLOYMENT))?;
        self.namespace.kubectl(&["apply", "--filename=db.yaml"])?;
        self.namespace.kubectl(&["rollout", "status", "deployment/db", "--timeout=120s"])?;
        let kubectl = self.namespace.cluster_program("kubectl");
        let config = self.state()?.join("admin.conf");
        let tool = self.folder.join("tools/psql");
        let text = format!(
            "#!/bin/sh\nexec {} --kubeconfig={} --namespace={} exec -i deployment/db -- \
             psql \"$@\"\n",
            kubectl.display(),
            config.display(),
            self.namespace.name()
        );
        fs::write(&tool, text)?;
        fs::set_permissions(&tool, fs::Permissions::from_mode(0o755))?;
        self.psql("postgres", "CREATE ROLE shop LOGIN CREATEDB")?;
        self.psql("postgres", "CREATE DATABASE shop OWNER shop").map(drop)
    }

    fn start(&self) -> Result<()> {
        let address = format!("127.0.0.1:{}", self.port);
        let words = ["start", "--key", "keys/signing.key", "--listen", &address];
        let files = ["--pid-file", "run/api.pid", "--log", "run/api.log"];
        let database = ["--database", CONNECTION];
        self.installed(&[&words[..], &files[..], &database[..]].concat()).map(drop)
    }

    fn installed(&self, words: &[&str]) -> Result<String> {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new(self.folder.join("current/bin/vaultup-sample"));
        command.args(words).current_dir(&self.folder);
        command.env("PATH", format!("{}:{path}", self.folder.join("tools").display()));
        output(command)
    }

    fn filled_in(&self, text: &str) -> String {
        let state = self.state().unwrap_or_default();
        text.replace("CONNECTION", CONNECTION)
            .replace("ADDRESS", &format!("127.0.0.1:{}", self.port))
            .replace("NAMESPACE", self.namespace.name())
            .replace("KUBECONFIG", &state.join("admin.conf").display().to_string())
            .replace("FOLDER", &self.folder.display().to_string())
    }

    /// Where the cluster keeps all that it has.
    fn state(&self) -> Result<PathBuf> {
        let command = self.namespace.command(&[]);
        let named = command.get_envs().find(|(name, _)| *name == "KUBECONFIG");
        let config = named.and_then(|(_, value)| value).context("a cluster has a kubeconfig")?;
        let state = Path::new(config).parent().context("which lies in its folder")?;
        ensure!(state.join("run/containerd.sock").exists(), "the cluster's containerd is gone");
        Ok(state.to_owned())
    }
}

impl Drop for PodShop {
    fn drop(&mut self) {
        // Nothing is left running, whatever became of the test.
        let mut command = Command::new(&self.programs.sample);
        command.args(["stop", "--pid-file", "run/api.pid"]).current_dir(&self.folder);
        let _ = command.stdout(Stdio::null()).status();
    }
}
