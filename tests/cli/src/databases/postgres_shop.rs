//! The shop of [`crate::Shop`] with its orders in PostgreSQL.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};
use serde_json::Value;

use super::PostgresServer;
use super::postgres::{PASSWORD, output};
use crate::programs::Programs;
use crate::shop::{RELEASES, Ran, free_port};

/// The user and the database of the shop.
const SHOP: &str = "shop";
const STACK_FILE: &str = include_str!("postgres.toml");

/// A shop in a folder of its own, with a server of its own.
#[derive(Debug)]
pub struct PostgresShop {
    /// The server.
    pub server: PostgresServer,
    folder: std::path::PathBuf,
    port: u16,
    programs: Programs,
}

impl PostgresShop {
    /// Opens a shop at release 1.0.0 in an empty folder, with so many orders.
    ///
    /// # Errors
    /// When a program or the server fails.
    pub fn open(folder: &Path, programs: &Programs, orders: u32) -> Result<Self> {
        for name in ["keys", "run"] {
            fs::create_dir_all(folder.join(name))?;
        }
        let server = PostgresServer::start()?;
        server.psql(
            "postgres",
            &format!("CREATE ROLE {SHOP} LOGIN CREATEDB PASSWORD '{PASSWORD}'"),
        )?;
        server.psql("postgres", &format!("CREATE DATABASE {SHOP} OWNER {SHOP}"))?;
        let (folder, programs) = (folder.to_owned(), programs.clone());
        let shop = Self { server, folder, port: free_port()?, programs };
        for release in RELEASES {
            shop.install(release, &[])?;
        }
        shop.write_stack_file("refuse", "")?;
        std::os::unix::fs::symlink("releases/1.0.0", shop.folder.join("current"))?;
        let orders = orders.to_string();
        shop.installed(&["seed", "--orders", &orders, "--key", "keys/signing.key"])?;
        shop.start()?;
        for plugin in ["host", "postgres"] {
            let path = shop.programs.plugins.join(format!("{plugin}.wasm"));
            let ran = shop.vaultup(&["plugin", "add", &path.display().to_string(), "--yes"])?;
            ensure!(ran.status == Some(0), "plugin add {plugin}: {}", ran.shown());
        }
        Ok(shop)
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Installs a release with these faults, in place of what is there.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn install(&self, release: &str, faults: &[&str]) -> Result<()> {
        let mut command = Command::new(&self.programs.sample);
        command.args(["install", "--into", "releases", "--release", release]);
        command.current_dir(&self.folder);
        for fault in faults {
            command.args(["--fault", fault]);
        }
        output(command)?;
        let path = self.folder.join("releases").join(release).join("release.toml");
        fs::write(path, self.release_file(release))?;
        Ok(())
    }

    /// Writes the stack file; `sessions` is the plugin's setting, `more` stands at its end.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_stack_file(&self, sessions: &str, more: &str) -> Result<()> {
        let text = STACK_FILE
            .replace("CONNECTION", &self.connection())
            .replace("ADDRESS", &format!("127.0.0.1:{}", self.port))
            .replace("PORT", &self.server.port().to_string())
            .replace("SESSIONS", sessions);
        fs::write(self.folder.join("vaultup.toml"), text + more)?;
        Ok(())
    }

    /// Writes the stack file anew, with one text in it replaced.
    ///
    /// # Errors
    /// When the text is not in it.
    pub fn rewrite_stack(&self, text: &str, by: &str) -> Result<()> {
        self.write_stack_file("refuse", "")?;
        self.edit_stack(text, by)
    }

    /// Writes something else in the stack file, wherever it stands.
    ///
    /// # Errors
    /// When it does not stand there, or the file cannot be written.
    pub fn edit_stack(&self, text: &str, by: &str) -> Result<()> {
        let path = self.folder.join("vaultup.toml");
        let stack = fs::read_to_string(&path)?;
        ensure!(stack.contains(text), "the stack file has no `{text}`");
        Ok(fs::write(path, stack.replace(text, by))?)
    }

    /// vaultup in this folder, ready to be run, with the server's tools first on its path.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}", self.server.programs().display());
        let mut command = Command::new(&self.programs.vaultup);
        command
            .args(arguments)
            .current_dir(&self.folder)
            .env("VAULTUP_HOME", self.folder.join("home"))
            .env("SHOP_PASSWORD", PASSWORD)
            .env("PATH", path)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        command
    }

    /// Runs vaultup to its end.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn vaultup(&self, arguments: &[&str]) -> Result<Ran> {
        Ok(Ran::of(self.command(arguments).output()?))
    }

    /// Takes a backup by hand, proven as the stack file asks; its id.
    ///
    /// # Errors
    /// When it fails.
    pub fn back_up(&self) -> Result<String> {
        self.vaultup(&["backup", "create", "--format", "json"])?.set()
    }

    /// Orders and a digest of all rows, whatever the schema.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn digest(&self) -> Result<String> {
        Ok(self.installed(&["digest"])?.trim().to_owned())
    }

    /// The highest complete migration, and whether one was left half-way.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn schema(&self) -> Result<(u64, bool)> {
        let query = "SELECT max(version) FILTER (WHERE success), NOT bool_and(success) \
                     FROM _sqlx_migrations";
        let answer = self.server.psql(SHOP, query)?;
        let (version, dirty) = answer.split_once('|').unwrap_or_default();
        Ok((version.parse()?, dirty == "t"))
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

    /// Moves to another server: the stack file and the releases name it from now on.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn use_server(&mut self, server: PostgresServer) -> Result<()> {
        self.server = server;
        for release in RELEASES {
            self.install(release, &[])?;
        }
        self.write_stack_file("refuse", "")
    }

    /// Adds orders beside the service.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn add_orders(&self, orders: u32) -> Result<()> {
        self.installed(&["add", "--orders", &orders.to_string()]).map(drop)
    }

    /// Starts the release in place, as the stack file's own command does.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(&self) -> Result<()> {
        let address = format!("127.0.0.1:{}", self.port);
        let words = ["start", "--key", "keys/signing.key", "--listen", &address];
        let files = ["--pid-file", "run/api.pid", "--log", "run/api.log"];
        self.installed(&[&words[..], &files[..]].concat()).map(drop)
    }

    /// Stops the application.
    ///
    /// # Errors
    /// When it cannot be told to.
    pub fn stop(&self) -> Result<()> {
        let mut command = Command::new(&self.programs.sample);
        command.args(["stop", "--pid-file", "run/api.pid"]).current_dir(&self.folder);
        output(command).map(drop)
    }

    /// A command of the release in place, on the shop's database.
    fn installed(&self, words: &[&str]) -> Result<String> {
        let mut command = Command::new(self.folder.join("current/bin/vaultup-sample"));
        command
            .args(words)
            .args(["--database", &self.connection()])
            .current_dir(&self.folder)
            .env("PGPASSWORD", PASSWORD);
        output(command)
    }

    fn connection(&self) -> String {
        format!("postgresql://{SHOP}@127.0.0.1:{}/{SHOP}", self.server.port())
    }

    fn release_file(&self, version: &str) -> String {
        let schema = version.split('.').next().unwrap_or_default();
        let head = format!(
            "format = 1\nversion = \"{version}\"\n\n[datastores.orders]\nschema = {schema}\n"
        );
        let migration = match version {
            "2.0.0" => "compatible",
            "3.0.0" => "breaking",
            _ => return head,
        };
        let connection = self.connection();
        format!(
            "{head}migration = \"{migration}\"\nmigrate = {{ with = \"api\", command = \
             [\"bin/vaultup-sample\", \"migrate\", \"--database\", \"{connection}\"] }}\n"
        )
    }
}

impl Drop for PostgresShop {
    fn drop(&mut self) {
        // Nothing is left running, whatever became of the test.
        let _ = self.stop();
    }
}
