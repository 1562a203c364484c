//! The HTTP interface: health, metrics, orders and signatures.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result};
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use rusqlite::{Connection, TransactionBehavior};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::connections::Connections;
use crate::metrics::Metrics;
use crate::orders::{self, Kept, Order, Shape};
use crate::output;
use crate::release::Release;
use crate::seed::KEY_BYTES;
use crate::server::Server;

/// Longest item and note of an order, in bytes.
const TEXT_BYTES_MAX: usize = 200;
/// What `/health` says when the release has the fault `wrong-version`.
const WRONG_VERSION: &str = "0.0.0";

/// Where the orders are.
pub(crate) enum Store {
    /// In an SQLite file.
    File(Connection),
    /// In PostgreSQL.
    Server(Server),
}

impl Store {
    fn find(&self, shape: Shape, id: i64) -> Result<Option<Kept>> {
        match self {
            Self::File(connection) => orders::find(connection, shape, id),
            Self::Server(server) => server.find(shape, id),
        }
    }

    fn list(&self, shape: Shape) -> Result<(u64, Vec<Kept>)> {
        match self {
            Self::File(connection) => {
                Ok((orders::count(connection, shape)?, orders::list(connection, shape)?))
            }
            Self::Server(server) => server.list(shape),
        }
    }

    fn insert(&mut self, shape: Shape, order: &Order) -> Result<i64> {
        match self {
            Self::File(connection) => {
                let transaction =
                    connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                let id = orders::insert(&transaction, shape, order)?;
                transaction.commit()?;
                Ok(id)
            }
            Self::Server(server) => server.insert(shape, order),
        }
    }
}

/// What every request can see.
pub(crate) struct Application {
    release: Release,
    store: Mutex<Store>,
    shape: Shape,
    key: [u8; KEY_BYTES],
    /// Digest of the token, so that comparing takes the same time whatever was sent.
    token: Option<blake3::Hash>,
    connections: Connections,
    metrics: Metrics,
    faulty: AtomicU64,
}

impl Application {
    /// Refuses a store that does not answer this release's own statements.
    pub(crate) fn new(
        release: Release,
        store: Store,
        key: [u8; KEY_BYTES],
        token: Option<String>,
        connections: Connections,
    ) -> Result<Self> {
        let shape = Shape::known_to(&release);
        store
            .find(shape, 0)
            .context("the store does not have the schema that this release needs")?;
        Ok(Self {
            shape,
            release,
            store: Mutex::new(store),
            key,
            token: token.map(|token| blake3::hash(token.as_bytes())),
            connections,
            metrics: Metrics::default(),
            faulty: AtomicU64::new(0),
        })
    }

    /// The release that serves.
    pub(crate) fn release(&self) -> &Release {
        &self.release
    }

    /// Whether the next request is one that the fault `error-rate` takes: request number n is when
    /// n × rate passes a whole number, so that a rate of 0.3 is exactly 3 of 10.
    fn next_fails(&self) -> bool {
        let number = self.faulty.fetch_add(1, Ordering::Relaxed);
        let failed = |requests: u64| (requests as f64 * self.release.faults.error_rate) as u64;
        failed(number + 1) > failed(number)
    }
}

/// The routes.
pub(crate) fn router(application: Arc<Application>) -> Router {
    let business = Router::new()
        .route("/orders", post(create_order).get(list_orders))
        .route("/orders/{id}", get(show_order))
        .route("/signed", post(sign))
        .layer(middleware::from_fn_with_state(application.clone(), observe));
    Router::new()
        .route("/health", get(health))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
        .merge(business)
        .with_state(application)
}

/// An error as the client sees it.
struct Problem(StatusCode, String);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

type Shared = State<Arc<Application>>;

async fn health(State(application): Shared) -> Json<Value> {
    let release = &application.release;
    slow_down(release).await;
    let wrong = release.faults.wrong_version;
    let version = if wrong { WRONG_VERSION } else { release.version.as_str() };
    let connections = application.connections.others();
    Json(json!({ "version": version, "status": "ok", "connections": connections }))
}

/// Ready when the store answers this release's own statements: a breaking migration underneath, or
/// a store that is gone, shows here; a compatible migration does not.
async fn ready(State(application): Shared) -> Result<Json<Value>, Problem> {
    if application.release.faults.never_ready {
        return Err(Problem(StatusCode::SERVICE_UNAVAILABLE, "not ready".to_owned()));
    }
    let answered = with_store(application, |store, shape| store.find(shape, 0));
    match answered.await {
        Ok(_) => Ok(Json(json!({ "ready": true }))),
        Err(Problem(_, error)) => Err(Problem(StatusCode::SERVICE_UNAVAILABLE, error)),
    }
}

async fn metrics(State(application): Shared) -> impl IntoResponse {
    let version = application.release.version.as_str();
    let text = application.metrics.text(version, application.connections.others());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}

async fn create_order(
    State(application): Shared,
    headers: HeaderMap,
    body: Result<Json<Order>, JsonRejection>,
) -> Result<impl IntoResponse, Problem> {
    authorize(&application, &headers)?;
    let Json(order) = body.map_err(|error| Problem(error.status(), error.body_text()))?;
    validate(&order, application.shape)?;
    let id = with_store(application, move |store, shape| store.insert(shape, &order)).await?;
    Ok((StatusCode::CREATED, Json(json!({ "id": id }))))
}

async fn show_order(
    State(application): Shared,
    Path(id): Path<i64>,
) -> Result<impl IntoResponse, Problem> {
    let found = with_store(application, move |store, shape| store.find(shape, id));
    match found.await? {
        Some(order) => Ok(Json(order)),
        None => Err(Problem(StatusCode::NOT_FOUND, format!("there is no order {id}"))),
    }
}

async fn list_orders(State(application): Shared) -> Result<Json<Value>, Problem> {
    let (total, orders) = with_store(application, |store, shape| store.list(shape)).await?;
    Ok(Json(json!({ "total": total, "orders": orders })))
}

#[derive(Deserialize)]
struct Message {
    message: String,
}

/// Signs with the key file, so that a service whose key was lost or changed is found out.
async fn sign(
    State(application): Shared,
    body: Result<Json<Message>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    let Json(asked) = body.map_err(|error| Problem(error.status(), error.body_text()))?;
    let signature = blake3::keyed_hash(&application.key, asked.message.as_bytes());
    Ok(Json(json!({ "signature": signature.to_hex().as_str() })))
}

/// Around the requests that users make: faults first, then the answer, then the figures.
async fn observe(State(application): Shared, request: Request, next: Next) -> Response {
    let began = Instant::now();
    slow_down(&application.release).await;
    let response = if application.next_fails() {
        Problem(StatusCode::INTERNAL_SERVER_ERROR, "fault error-rate".to_owned()).into_response()
    } else {
        next.run(request).await
    };
    application.metrics.count(began.elapsed(), response.status().is_server_error());
    response
}

/// The fault `slow-ms`. Without it there is no timer: one of zero length takes a millisecond.
async fn slow_down(release: &Release) {
    if !release.faults.slow.is_zero() {
        tokio::time::sleep(release.faults.slow).await;
    }
}

fn authorize(application: &Application, headers: &HeaderMap) -> Result<(), Problem> {
    let Some(token) = application.token else { return Ok(()) };
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Bearer "));
    if given.is_some_and(|given| blake3::hash(given.as_bytes()) == token) {
        return Ok(());
    }
    Err(Problem(StatusCode::UNAUTHORIZED, "a bearer token is needed".to_owned()))
}

fn validate(order: &Order, shape: Shape) -> Result<(), Problem> {
    let wrong = |text: &str| Err(Problem(StatusCode::UNPROCESSABLE_ENTITY, text.to_owned()));
    let note = order.note.as_deref().unwrap_or_default();
    if order.item.is_empty() || order.item.len() > TEXT_BYTES_MAX || note.len() > TEXT_BYTES_MAX {
        return wrong("an item has 1 to 200 bytes, a note at most 200");
    }
    if order.quantity == 0 {
        return wrong("a quantity is at least 1");
    }
    if order.note.is_some() && !shape.has_notes() {
        return wrong("this release has no notes");
    }
    Ok(())
}

/// Runs a statement on a thread that may block.
async fn with_store<T: Send + 'static>(
    application: Arc<Application>,
    work: impl FnOnce(&mut Store, Shape) -> Result<T> + Send + 'static,
) -> Result<T, Problem> {
    let worked = tokio::task::spawn_blocking(move || {
        let mut store = application.store.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut store, application.shape)
    });
    let failed = |error: String| {
        output::log("error", &error);
        Problem(StatusCode::INTERNAL_SERVER_ERROR, error)
    };
    match worked.await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(failed(format!("{error:#}"))),
        Err(error) => Err(failed(error.to_string())),
    }
}
