//! Orders in the store, whatever schema it has.
//!
//! The shape is looked up in the tables themselves, not in the record of migrations, so that the
//! digest of a store is the same before, in the middle of and after a migration that loses nothing.

use anyhow::Result;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use crate::release::Release;

/// Most orders that a list answers with; the newest are kept.
pub(crate) const LISTED_MAX: u32 = 1_000;

/// An order, or what is needed to make one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Order {
    pub(crate) item: String,
    pub(crate) quantity: u32,
    /// Only from migration 2 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
}

/// An order as it stands in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Kept {
    pub(crate) id: i64,
    #[serde(flatten)]
    pub(crate) order: Order,
}

/// How the store's tables look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// No table of orders.
    Nothing,
    /// Migration 1.
    Plain,
    /// Migration 2, and migration 3 until its second half.
    WithNote,
    /// Migration 3.
    WithLines,
}

impl Shape {
    /// Looks at the tables.
    pub(crate) fn of(connection: &Connection) -> Result<Self> {
        let mut statement = connection.prepare("SELECT name FROM pragma_table_info('orders')")?;
        let names = statement.query_map([], |row| row.get::<_, String>(0))?;
        let names: Vec<String> = names.collect::<rusqlite::Result<_>>()?;
        Ok(Self::with_columns(|name| names.iter().any(|column| column == name)))
    }

    /// By the columns that `orders` has.
    pub(crate) fn with_columns(has: impl Fn(&str) -> bool) -> Self {
        match (has("id"), has("item"), has("note")) {
            (false, ..) => Self::Nothing,
            (true, true, false) => Self::Plain,
            (true, true, true) => Self::WithNote,
            (true, false, _) => Self::WithLines,
        }
    }

    /// What a release's own statements expect.
    pub(crate) fn known_to(release: &Release) -> Self {
        match release.version.major() {
            0 | 1 => Self::Plain,
            2 => Self::WithNote,
            _ => Self::WithLines,
        }
    }

    /// Whether an order can have a note.
    pub(crate) fn has_notes(self) -> bool {
        matches!(self, Self::WithNote | Self::WithLines)
    }

    /// A query for id, line, item, quantity and note of every line of every order.
    pub(crate) fn rows(self) -> &'static str {
        match self {
            Self::Nothing => {
                "SELECT 0 AS id, 0 AS line, '' AS item, 0 AS quantity, NULL AS note WHERE 1 = 0"
            }
            Self::Plain => "SELECT id, 1 AS line, item, quantity, NULL AS note FROM orders",
            Self::WithNote => "SELECT id, 1 AS line, item, quantity, note FROM orders",
            Self::WithLines => {
                "SELECT orders.id AS id, line, item, quantity, note FROM orders
                 JOIN order_lines ON order_id = orders.id"
            }
        }
    }

    /// The orders by their first lines, filtered and sorted by what is appended.
    pub(crate) fn select(self, filter: &str) -> String {
        format!("SELECT * FROM ({}) AS lines WHERE line = 1 {filter}", self.rows())
    }
}

/// Adds an order and says its id. A note that the schema has no place for is not stored: the caller
/// refuses it first.
pub(crate) fn insert(connection: &Connection, shape: Shape, order: &Order) -> Result<i64> {
    let Order { item, quantity, note } = order;
    match shape {
        Shape::Nothing | Shape::Plain => {
            let text = "INSERT INTO orders (item, quantity) VALUES (?1, ?2)";
            connection.prepare_cached(text)?.execute(params![item, quantity])?;
            Ok(connection.last_insert_rowid())
        }
        Shape::WithNote => {
            let text = "INSERT INTO orders (item, quantity, note) VALUES (?1, ?2, ?3)";
            connection.prepare_cached(text)?.execute(params![item, quantity, note])?;
            Ok(connection.last_insert_rowid())
        }
        Shape::WithLines => {
            connection.prepare_cached("INSERT INTO orders (note) VALUES (?1)")?.execute([note])?;
            let id = connection.last_insert_rowid();
            let text = "INSERT INTO order_lines (order_id, line, item, quantity)
                        VALUES (?1, 1, ?2, ?3)";
            connection.prepare_cached(text)?.execute(params![id, item, quantity])?;
            Ok(id)
        }
    }
}

/// One order.
pub(crate) fn find(connection: &Connection, shape: Shape, id: i64) -> Result<Option<Kept>> {
    let mut statement = connection.prepare_cached(&shape.select("AND id = ?1"))?;
    Ok(statement.query_row([id], kept).optional()?)
}

/// The newest orders, at most [`LISTED_MAX`], oldest of them first.
pub(crate) fn list(connection: &Connection, shape: Shape) -> Result<Vec<Kept>> {
    let mut statement = connection.prepare_cached(&shape.select("ORDER BY id DESC LIMIT ?1"))?;
    let rows = statement.query_map([LISTED_MAX], kept)?;
    let mut orders: Vec<Kept> = rows.collect::<rusqlite::Result<_>>()?;
    orders.reverse();
    Ok(orders)
}

/// How many orders there are.
pub(crate) fn count(connection: &Connection, shape: Shape) -> Result<u64> {
    if shape == Shape::Nothing {
        return Ok(0);
    }
    let mut statement = connection.prepare_cached("SELECT count(*) FROM orders")?;
    let count: i64 = statement.query_row([], |row| row.get(0))?;
    Ok(u64::try_from(count)?)
}

/// Number of orders and digest of all their lines in order, `blake3:hex`, whatever the schema.
pub(crate) fn digest(connection: &Connection) -> Result<(u64, String)> {
    let shape = Shape::of(connection)?;
    let orders = count(connection, shape)?;
    let text = format!("{} ORDER BY id, line", shape.rows());
    let mut statement = connection.prepare(&text)?;
    let mut rows = statement.query([])?;
    let mut hasher = blake3::Hasher::new();
    while let Some(row) = rows.next()? {
        let (id, line, quantity): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(3)?);
        for number in [id, line, quantity] {
            hasher.update(&number.to_le_bytes());
        }
        let note: Option<String> = row.get(4)?;
        for text in [Some(row.get::<_, String>(2)?), note] {
            // The length keeps neighbouring texts apart; absent is not the same as empty.
            let bytes = text.as_ref().map_or(u64::MAX, |text| text.len() as u64);
            hasher.update(&bytes.to_le_bytes());
            hasher.update(text.unwrap_or_default().as_bytes());
        }
    }
    Ok((orders, format!("blake3:{}", hasher.finalize().to_hex())))
}

fn kept(row: &Row<'_>) -> rusqlite::Result<Kept> {
    let order = Order { item: row.get(2)?, quantity: row.get(3)?, note: row.get(4)? };
    Ok(Kept { id: row.get(0)?, order })
}
