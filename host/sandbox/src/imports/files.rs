//! `files`: the operator's granted files and directories.
//!
//! Threat: a path that leads out; an edit that nobody can undo; an edit while only reading is
//! allowed; a secret read out of a file. [`system::files`] keeps paths inside; every edit is
//! permitted, then told to the observer, which makes it durable, and only then made.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::manifest::Class;
use model::pattern::MatchContext;
use system::files::{Entry, EntryKind, Relative, Root};
use wasmtime::component::Resource;

use crate::bindings::host::vaultup::plugin::files as wit;
use crate::bindings::host::vaultup::plugin::types::Figure;
use crate::imports::artifact::Stop;
use crate::session::{FileAct, FileEdit};
use crate::state::{Facts, Granting, State, denied};

/// An open root.
#[expect(unreachable_pub, reason = "the generated bindings name it publicly")]
pub struct OpenRoot(Arc<Root>);

impl wit::Host for State {}

impl wit::HostRoot for State {
    async fn open(&mut self, key: String) -> Granting<Resource<OpenRoot>> {
        let root = self.facts.beside(move |facts| facts.root(&key)).await?;
        Ok(self.table.push(OpenRoot(root))?)
    }

    async fn path(&mut self, root: Resource<OpenRoot>, relative: String) -> Granting<String> {
        let path =
            self.look(&root, move |_, root| Ok(root.path(Relative::parse(&relative)?)?)).await?;
        path.into_os_string().into_string().map_err(|_| denied("this path is not UTF-8"))
    }

    async fn describe(
        &mut self,
        root: Resource<OpenRoot>,
        relative: String,
    ) -> Granting<Option<wit::Entry>> {
        self.look(&root, move |_, root| Ok(root.describe(Relative::parse(&relative)?)?.map(entry)))
            .await
    }

    async fn entries(
        &mut self,
        root: Resource<OpenRoot>,
        relative: String,
    ) -> Granting<Vec<wit::Entry>> {
        self.look(&root, move |_, root| {
            let entries = root.entries(Relative::parse(&relative)?)?;
            Ok(entries.into_iter().map(entry).collect())
        })
        .await
    }

    async fn read(&mut self, root: Resource<OpenRoot>, relative: String) -> Granting<Vec<u8>> {
        self.look(&root, move |facts, root| {
            let content = root.read(Relative::parse(&relative)?)?;
            // Blotted out, it would be written back without the secret: so it is not given.
            match super::holds_secret(&facts.session.redactor, &content) {
                false => Ok(content),
                true => Err(denied("the file holds the value of a secret")),
            }
        })
        .await
    }

    async fn measure(&mut self, root: Resource<OpenRoot>, relative: String) -> Granting<Figure> {
        let stop = Stop::default();
        let stopped = stop.flag();
        self.look(&root, move |facts, root| {
            let mut going = |_| !stopped.load(Ordering::Relaxed) && !facts.is_cancelled();
            let measure = root.measure(Relative::parse(&relative)?, &mut going)?;
            Ok(Figure {
                name: relative,
                count: Some(measure.count),
                bytes: Some(measure.bytes),
                digest: Some(measure.digest),
            })
        })
        .await
    }

    async fn room(&mut self, root: Resource<OpenRoot>) -> Granting<wit::Room> {
        self.look(&root, |_, root| {
            let room = root.room()?;
            Ok(wit::Room { bytes_free: room.bytes_free, bytes_total: room.bytes_total })
        })
        .await
    }

    async fn write(
        &mut self,
        root: Resource<OpenRoot>,
        relative: String,
        content: Vec<u8>,
    ) -> Granting<()> {
        self.look(&root, move |facts, root| {
            let path = Relative::parse(&relative)?;
            let previous = root.previous(path)?;
            announce(facts, root, path, FileAct::Write { previous })?;
            root.write(path, &content)?;
            Ok(())
        })
        .await
    }

    async fn link(
        &mut self,
        root: Resource<OpenRoot>,
        relative: String,
        to: String,
    ) -> Granting<()> {
        self.look(&root, move |facts, root| {
            let path = Relative::parse(&relative)?;
            let previous = root.previous(path)?;
            announce(facts, root, path, FileAct::Link { to: to.clone(), previous })?;
            // A link leads into its own root, or to the very path of another grant: a release that
            // lies somewhere else than the link that names it.
            match facts.is_granted_path(&to) {
                true => root.link_to_granted(path, &to)?,
                false => root.link(path, &to)?,
            };
            Ok(())
        })
        .await
    }

    async fn create_directory(
        &mut self,
        root: Resource<OpenRoot>,
        relative: String,
    ) -> Granting<()> {
        self.look(&root, move |facts, root| {
            let path = Relative::parse(&relative)?;
            announce(facts, root, path, FileAct::CreateDirectory)?;
            Ok(root.create_directory(path)?)
        })
        .await
    }

    async fn rename(
        &mut self,
        root: Resource<OpenRoot>,
        source: String,
        destination: String,
    ) -> Granting<()> {
        self.look(&root, move |facts, root| {
            let (from, to) = (Relative::parse(&source)?, Relative::parse(&destination)?);
            announce(facts, root, from, FileAct::Rename { to: destination.clone() })?;
            Ok(root.rename(from, to)?)
        })
        .await
    }

    async fn exchange(
        &mut self,
        root: Resource<OpenRoot>,
        first: String,
        second: String,
    ) -> Granting<()> {
        self.look(&root, move |facts, root| {
            let (one, other) = (Relative::parse(&first)?, Relative::parse(&second)?);
            announce(facts, root, one, FileAct::Exchange { with: second.clone() })?;
            Ok(root.exchange(one, other)?)
        })
        .await
    }

    async fn remove(&mut self, root: Resource<OpenRoot>, relative: String) -> Granting<()> {
        self.look(&root, move |facts, root| {
            let path = Relative::parse(&relative)?;
            announce(facts, root, path, FileAct::Remove)?;
            Ok(root.remove(path)?)
        })
        .await
    }

    async fn drop(&mut self, root: Resource<OpenRoot>) -> wasmtime::Result<()> {
        self.table.delete(root)?;
        Ok(())
    }
}

impl State {
    async fn look<T, F>(&mut self, root: &Resource<OpenRoot>, work: F) -> Granting<T>
    where
        T: Send + 'static,
        F: FnOnce(&Facts, &Root) -> Granting<T> + Send + 'static,
    {
        let root = Arc::clone(&self.table.get(root)?.0);
        self.facts.beside(move |facts| work(facts, &root)).await
    }
}

/// What must happen before an edit: it is permitted, and what it replaces is kept.
fn announce(facts: &Facts, root: &Root, path: Relative<'_>, act: FileAct) -> Granting<()> {
    facts.permit(Class::Change)?;
    let edit = FileEdit { root: root.location(), path: path.as_str().to_owned(), act };
    facts.session.observer.file_changing(&edit).map_err(denied)
}

fn entry(entry: Entry) -> wit::Entry {
    wit::Entry {
        name: entry.name,
        kind: match entry.kind {
            EntryKind::File => wit::Kind::File,
            EntryKind::Directory => wit::Kind::Directory,
            EntryKind::Link => wit::Kind::Link,
            EntryKind::Other => wit::Kind::Other,
        },
        bytes: entry.bytes,
        link: entry.link,
    }
}
