//! `seed` and `add`: orders that are the same each time, and a key file.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use rusqlite::{Connection, TransactionBehavior};
use serde_json::json;

use crate::arguments::Arguments;
use crate::failure;
use crate::migrations::{self, MigrationLock, Record};
use crate::orders::{self, Order, Shape};
use crate::output;
use crate::release::Release;
use crate::server::Server;
use crate::store;

/// Length of the key that `serve` signs with.
pub(crate) const KEY_BYTES: usize = 32;
/// Most orders that one command adds, so that a mistyped number does not fill the disk.
const ORDERS_MAX: u64 = 100_000_000;
/// What is ordered.
const ITEMS: [&str; 7] = ["anchor", "bolt", "chain", "drill", "easel", "flange", "gasket"];

/// Makes a new store at this release's schema with `--orders` orders, and a key if there is none.
pub(crate) fn seed(arguments: &Arguments) -> Result<ExitCode> {
    let release = Release::current()?;
    let orders = number_of_orders(arguments)?;
    if let Some(database) = arguments.optional_text("database")? {
        let server = Server::at(database);
        server.migrate(&release, &mut |_| ())?;
        if let Some(key) = arguments.optional_path("key") {
            make_key(&key)?;
        }
        output::say_json(&json!({ "orders": server.fill(orders)? }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let data = arguments.path("data")?;
    let mut connection = store::create(&data)?;
    let lock = MigrationLock::acquire(&data)?;
    migrations::apply(&mut connection, &release, false, &lock, &mut |_| ())?;
    let found = orders::count(&connection, Shape::of(&connection)?)?;
    if found > 0 {
        bail!("{} holds {found} orders; `seed` fills a new store only", data.display());
    }
    if let Some(key) = arguments.optional_path("key") {
        make_key(&key)?;
    }
    insert_orders(&mut connection, orders)?;
    store::sync_directory(&data)?;
    output::say_json(&json!({ "orders": orders }))?;
    Ok(ExitCode::SUCCESS)
}

/// Adds orders to an existing store, by the rules that `serve` has.
pub(crate) fn add(arguments: &Arguments) -> Result<ExitCode> {
    let release = Release::current()?;
    let orders = number_of_orders(arguments)?;
    if let Some(database) = arguments.optional_text("database")? {
        let server = Server::at(database);
        server.require(&release)?;
        output::say_json(&json!({ "orders": server.fill(orders)? }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let data = arguments.path("data")?;
    let mut connection = store::open(&data)?;
    if let Some(refusal) = Record::read(&connection)?.refusal(&release, false) {
        bail!("{refusal}");
    }
    let total = insert_orders(&mut connection, orders)?;
    output::say_json(&json!({ "orders": total }))?;
    Ok(ExitCode::SUCCESS)
}

fn number_of_orders(arguments: &Arguments) -> Result<u64> {
    let orders = arguments.number("orders")?;
    if orders > ORDERS_MAX {
        return Err(failure::usage(format!("`--orders` is at most {ORDERS_MAX}")));
    }
    Ok(orders)
}

fn insert_orders(connection: &mut Connection, orders: u64) -> Result<u64> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let shape = Shape::of(&transaction)?;
    let before = orders::count(&transaction, shape)?;
    for number in before..before + orders {
        let item = ITEMS[(number % ITEMS.len() as u64) as usize];
        let order = Order {
            item: format!("{item}-{number:06}"),
            quantity: u32::try_from(number * 7 % 20 + 1)?,
            note: None,
        };
        orders::insert(&transaction, shape, &order)?;
    }
    transaction.commit()?;
    Ok(before + orders)
}

/// A key as 64 hexadecimal digits, readable by its owner only; one that exists is kept.
fn make_key(file: &Path) -> Result<()> {
    let mut bytes = [0; KEY_BYTES];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let text = format!("{}\n", blake3::Hash::from_bytes(bytes).to_hex());
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    match made {
        Ok(mut opened) => {
            opened.write_all(text.as_bytes())?;
            Ok(opened.sync_all()?)
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot make the key {}", file.display())),
    }
}
