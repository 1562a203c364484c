//! The shop of [`crate::Shop`] with a catalogue in MongoDB beside its orders: what is ordered.
//!
//! The catalogue's migrations are scripts of the release, run by MongoDB's shell. The sample
//! application itself does not read it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use super::MongoServer;
use super::mongo::DATABASE;
use crate::programs::Programs;
use crate::shop::{Ran, Shop};

/// The catalogue's migration of each release, and what it fails with half-way if it is to fail.
const MIGRATIONS: [(&str, &str); 2] = [
    (
        "2.0.0",
        "db.items.createIndex({ name: 1 });
         FAULT
         db.meta.updateOne({}, { $set: { schema_version: 2 } });",
    ),
    (
        "3.0.0",
        "const priced = (item) => ({ _id: item._id, price: item.price });
         db.prices.insertMany(db.items.find().toArray().map(priced));
         FAULT
         db.items.updateMany({}, { $unset: { price: '' } });
         db.meta.updateOne({}, { $set: { schema_version: 3 } });",
    ),
];

/// A shop with a catalogue, and the server that keeps it.
#[derive(Debug)]
pub struct MongoShop {
    /// The shop.
    pub shop: Shop,
    /// The server.
    pub server: MongoServer,
}

impl MongoShop {
    /// Opens a shop at release 1.0.0 in an empty folder, with so many items in its catalogue.
    ///
    /// # Errors
    /// When a program or the server fails.
    pub fn open(folder: &Path, programs: &Programs, items: u32) -> Result<Self> {
        let server = MongoServer::start()?;
        server.shell(&format!(
            "db.meta.insertOne({{ schema_version: 1 }});
             db.items.insertMany([...Array({items}).keys()].map((n) => ({{
               _id: n, name: 'item-' + n, price: n * 7 % 100 + 1, tags: ['a', 'b', n % 3],
             }})));"
        ))?;
        let shop = Shop::open(folder, programs)?;
        let opened = Self { shop, server };
        opened
            .shop
            .write_stack_file(&opened.datastore("[\"print(db.items.countDocuments({}))\"]"))?;
        for (release, _) in MIGRATIONS {
            opened.install(release, &[], false)?;
        }
        let release = opened.shop.folder().join("releases/1.0.0/release.toml");
        let text = fs::read_to_string(&release)?;
        fs::write(release, format!("{text}\n[datastores.catalogue]\nschema = 1\n"))?;
        let plugin = programs.plugins.join("mongo.wasm").display().to_string();
        let added = opened.vaultup(&["plugin", "add", &plugin, "--yes"])?;
        ensure!(added.status == Some(0), "plugin add mongo: {}", added.shown());
        Ok(opened)
    }

    /// The catalogue as a datastore of the stack file; `check` is a list.
    #[must_use]
    pub fn datastore(&self, check: &str) -> String {
        let port = self.server.port();
        format!(
            "\n[datastores.catalogue]\nplugin = \"mongo\"\nwritten-by = [\"api\"]\n\n\
             [datastores.catalogue.settings]\nhost = \"127.0.0.1\"\nport = {port}\n\
             database = \"{DATABASE}\"\ncheck = {check}\n"
        )
    }

    /// Installs a release with these faults; with `half_way` the catalogue's migration fails
    /// half-way.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn install(&self, release: &str, faults: &[&str], half_way: bool) -> Result<()> {
        self.shop.install(release, faults)?;
        let folder = self.shop.folder().join("releases").join(release);
        let fault = if half_way { "throw new Error('fault half-way');" } else { "" };
        let script = MIGRATIONS.iter().find(|(known, _)| *known == release);
        let script = script.map_or("", |(_, script)| script).replace("FAULT", fault);
        fs::write(folder.join("migrate.js"), script)?;
        let program = folder.join("bin/migrate-catalogue");
        let shell = self.server.tools().join("mongosh");
        let text = format!(
            "#!/bin/sh\nexec {} --quiet --norc \
             'mongodb://127.0.0.1:{}/{DATABASE}?serverSelectionTimeoutMS=60000' --file \"$(dirname \"$0\")/../migrate.js\"\n",
            shell.display(),
            self.server.port()
        );
        fs::write(&program, text)?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
        let schema = release.split('.').next().unwrap_or_default();
        let file = folder.join("release.toml");
        let text = fs::read_to_string(&file)?;
        let more = format!(
            "\n[datastores.catalogue]\nschema = {schema}\nmigration = \"breaking\"\n\
             migrate = {{ with = \"api\", command = [\"bin/migrate-catalogue\"] }}\n"
        );
        fs::write(file, text + &more)?;
        Ok(())
    }

    /// vaultup in the shop's folder, with MongoDB's tools first on its path.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = self.shop.command(arguments);
        command.env("PATH", format!("{}:{path}", self.server.tools().display()));
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
}
