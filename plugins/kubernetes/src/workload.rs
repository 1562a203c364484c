//! The component's workload, and the changes that are made to it.

use serde_json::{Value, json};
use vaultup_kubectl::lease::Lease;
use vaultup_kubectl::objects::Container;
use vaultup_kubectl::{Cluster, Kubectl, Workload, copy, scale};
use vaultup_sdk::process::Asked;
use vaultup_sdk::{Error, Operation};

use crate::settings::Settings;

/// Annotation of the pods with the release that they are.
pub(crate) const RELEASE: &str = "vaultup.dev/release";

/// kubectl in the namespace that an operation acts on: of a rehearsal never the live one.
pub(crate) fn kubectl_of(operation: &Operation<Settings>) -> Kubectl {
    Kubectl::new(&copy::access(operation, |settings| &settings.access))
}

/// The component that an operation is about.
pub(crate) struct Component<'o> {
    pub(crate) operation: &'o Operation<Settings>,
    pub(crate) kubectl: Kubectl,
}

impl<'o> Component<'o> {
    pub(crate) fn of(operation: &'o Operation<Settings>) -> Self {
        Self { operation, kubectl: kubectl_of(operation) }
    }

    /// Asks for the namespace, with the component's workload as its only one:
    /// [`vaultup_sdk::Case::NotFound`] if there is no such workload.
    pub(crate) fn ask_cluster(&self) -> Asked<'_, Cluster> {
        let wanted = &self.operation.settings.workload;
        Cluster::ask(&self.kubectl).and_then(move |cluster| {
            let cluster = cluster.only(|its| its.reference() == *wanted);
            if cluster.workloads.is_empty() {
                let namespace = self.kubectl.namespace();
                let message = format!("there is no {wanted} in namespace `{namespace}`");
                return Err(Error::not_found(message));
            }
            Ok(cluster)
        })
    }

    /// The namespace, with the component's workload as its only one.
    ///
    /// # Errors
    /// As [`Component::ask_cluster`].
    pub(crate) fn cluster(&self) -> Result<Cluster, Error> {
        self.ask_cluster().answer()
    }

    /// Asks for the workload as it is, with all of its fields.
    pub(crate) fn ask_live(&self) -> Asked<'static, Value> {
        let workload = self.operation.settings.workload.as_str();
        self.kubectl.ask_json(&["get", workload, "--output=json"])
    }

    /// The workload's lock, which every machine sees.
    pub(crate) fn lease(&self) -> Lease<'_> {
        let workload = &self.operation.settings.workload;
        let (kind, name) = workload.split_once('/').unwrap_or(("workload", workload));
        Lease::of(&self.kubectl, kind, name)
    }

    /// The container that releases bring an image for.
    ///
    /// # Errors
    /// [`vaultup_sdk::Case::InvalidSettings`] if it is not said and not plain.
    pub(crate) fn container<'w>(&self, workload: &'w Workload) -> Result<&'w Container, Error> {
        let containers = &workload.spec.template.spec.containers;
        let names: Vec<&str> = containers.iter().map(|its| its.name.as_str()).collect();
        let names = names.join(", ");
        match (&self.operation.settings.container, containers.as_slice()) {
            (None, [only]) => Ok(only),
            (None, _) => Err(Error::invalid_settings(format!(
                "{workload} has several containers: say which with `container`: {names}"
            ))),
            (Some(name), all) => all.iter().find(|its| its.name == *name).ok_or_else(|| {
                let message = format!("{workload} has no container `{name}`, it has {names}");
                Error::invalid_settings(message)
            }),
        }
    }

    /// The next release's image.
    pub(crate) fn image(&self) -> Result<&str, Error> {
        image(self.operation)
    }

    /// The version that a workload's template is.
    pub(crate) fn version(&self, workload: &Workload) -> Result<Option<String>, Error> {
        let template = &workload.spec.template;
        let tag = version_of(&self.container(workload)?.image);
        Ok(tag.or_else(|| template.metadata.annotations.get(RELEASE).cloned()))
    }

    /// Changes the workload, as vaultup.
    pub(crate) fn change(&self, workload: &Workload, patch: &Value) -> Result<(), Error> {
        scale::change(&self.kubectl, workload, patch)
    }

    /// Sets the image of the next release; `among` is what has to change with it.
    pub(crate) fn set_image(&self, workload: &Workload, among: &Value) -> Result<(), Error> {
        self.set_image_of(workload, self.image()?, &self.operation.next()?.version, among)
    }

    /// Sets an image, which is of this version.
    pub(crate) fn set_image_of(
        &self,
        workload: &Workload,
        image: &str,
        version: &str,
        among: &Value,
    ) -> Result<(), Error> {
        let container = &self.container(workload)?.name;
        let mut spec = json!({"template": {
            "metadata": {"annotations": {RELEASE: version}},
            "spec": {"containers": [{"name": container, "image": image}]},
        }});
        if let (Some(spec), Some(among)) = (spec.as_object_mut(), among.as_object()) {
            spec.extend(among.clone());
        }
        let patch = json!({"spec": spec}).to_string();
        let (reference, patch) = (workload.reference(), format!("--patch={patch}"));
        // A strategic patch finds the container by its name; a merge patch would replace the list.
        let words = ["patch", &reference, "--type=strategic", &patch, "--field-manager=vaultup"];
        self.kubectl.text(&words).map(drop)
    }

    /// Suspends or resumes the CronJobs that belong to the component.
    pub(crate) fn suspend(&self, suspended: bool) -> Result<(), Error> {
        if !self.operation.is_live() {
            // A copy has no CronJobs.
            return Ok(());
        }
        let patch = format!("--patch={}", json!({"spec": {"suspend": suspended}}));
        self.operation.settings.suspend.iter().try_for_each(|job| {
            let words = ["patch", job, "--type=merge", &patch, "--field-manager=vaultup"];
            self.kubectl.text(&words).map(drop)
        })
    }
}

/// The image of the release that an operation leads to.
///
/// # Errors
/// [`vaultup_sdk::Case::InvalidSettings`] if it names none.
pub(crate) fn image(operation: &Operation<Settings>) -> Result<&str, Error> {
    let next = operation.next()?;
    next.artifact.as_deref().ok_or_else(|| {
        let subject = &operation.subject;
        let message = format!("release {} names no image for {subject}", next.version);
        Error::invalid_settings(message)
    })
}

/// The version that an image's tag is.
pub(crate) fn version_of(image: &str) -> Option<String> {
    let plain = image.split('@').next().unwrap_or_default();
    let (_, tag) = plain.rsplit_once(':').filter(|(_, tag)| !tag.contains('/'))?;
    let tag = tag.strip_prefix('v').unwrap_or(tag);
    semver::Version::parse(tag).ok().map(|version| version.to_string())
}

#[cfg(test)]
mod tests {
    use super::version_of;

    #[test]
    fn the_version_is_the_tag_of_the_image() {
        let is = |image: &str| version_of(image);
        assert_eq!(is("registry.example:5000/api:2.5.0").as_deref(), Some("2.5.0"));
        assert_eq!(is("api:v2.5.0-rc.1@sha256:0f").as_deref(), Some("2.5.0-rc.1"));
        for image in ["api", "api:latest", "registry.example:5000/api", "api@sha256:0f", "api:2.5"]
        {
            assert_eq!(is(image), None, "{image}");
        }
    }
}
