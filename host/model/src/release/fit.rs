//! Whether a release fits a stack: it speaks only of what the stack has.

use super::{MigrateBy, Release};
use crate::error::{Error, Fault, code};
use crate::name::Name;
use crate::nearest::did_you_mean;
use crate::places::Places;
use crate::problem::Place;
use crate::stack::Stack;

pub(super) fn check(release: &Release, stack: &Stack, places: &Places) -> Result<(), Error> {
    let version = &release.version;
    let mut faults = Vec::new();
    for name in release.components.keys().filter(|name| !stack.components.contains_key(name)) {
        let also = if stack.datastores.contains_key(name) { "; it is a datastore" } else { "" };
        faults.push(Fault {
            code: code::RELEASE_DOES_NOT_FIT,
            place: places.key(&["components", name.as_str()]),
            message: format!(
                "release {version} has a component `{name}`, and stack `{}` does not{also}",
                stack.name
            ),
            help: did_you_mean(name.as_str(), stack.components.keys().map(Name::as_str)),
        });
    }
    for name in release.datastores.keys().filter(|name| !stack.datastores.contains_key(name)) {
        let also = if stack.components.contains_key(name) { "; it is a component" } else { "" };
        faults.push(Fault {
            code: code::RELEASE_DOES_NOT_FIT,
            place: places.key(&["datastores", name.as_str()]),
            message: format!(
                "release {version} has a datastore `{name}`, and stack `{}` does not{also}",
                stack.name
            ),
            help: did_you_mean(name.as_str(), stack.datastores.keys().map(Name::as_str)),
        });
    }
    for (name, datastore) in &release.datastores {
        if let Some(with) = datastore.migrate.as_ref().and_then(migrates_with)
            && !stack.components.contains_key(with)
        {
            let place = places.value(&["datastores", name.as_str(), "migrate", "with"]);
            faults.push(unknown_migrator(stack, name, with, place));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(places.sorted(faults)) }
}

fn migrates_with(migrate: &MigrateBy) -> Option<&Name> {
    match migrate {
        MigrateBy::Command { with, .. } => with.as_ref(),
        MigrateBy::AtStart { with } => Some(with),
    }
}

fn unknown_migrator(stack: &Stack, name: &Name, with: &Name, place: Place) -> Fault {
    Fault {
        code: code::UNKNOWN_NAME,
        place,
        message: format!(
            "`{name}` is migrated with `{with}`, and stack `{}` has no such component",
            stack.name
        ),
        help: did_you_mean(with.as_str(), stack.components.keys().map(Name::as_str)),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use crate::error::code;
    use crate::places::Places;
    use crate::problem::Problem;
    use crate::release::Release;
    use crate::stack::Stack;

    const STACK: &str = "format = 1\nstack.name = \"shop\"\n[components.api]\nplugin = \"p\"\n\
                         [datastores.orders]\nplugin = \"p\"\n";

    #[test]
    fn a_release_may_say_less_than_the_stack_has() {
        let stack = Stack::parse(STACK, "s").unwrap();
        let text = "format = 1\nversion = \"1.0.0\"\n";
        let (release, places) = Release::parse_with_places(text, "r").unwrap();
        release.check_against(&stack, &places).unwrap();
    }

    #[test]
    fn every_name_that_the_stack_lacks_is_named_with_its_place_and_the_nearest() {
        let stack = Stack::parse(STACK, "s").unwrap();
        let text = "format = 1\nversion = \"1.0.0\"\n[components.apy]\n[datastores.api]\n\
                    [datastores.orders]\nmigrate = { with = \"ap\", at-start = true }\n";
        let (release, places) = Release::parse_with_places(text, "r").unwrap();
        let error = release.check_against(&stack, &places).unwrap_err();
        let found: Vec<(u16, u32, u32)> = error
            .faults()
            .iter()
            .map(|fault| (fault.code.0, fault.place.line, fault.place.column))
            .collect();
        let fits = code::RELEASE_DOES_NOT_FIT.0;
        assert_eq!(found, [(fits, 3, 13), (fits, 4, 13), (code::UNKNOWN_NAME.0, 6, 20)]);
        assert!(error.next().unwrap().contains("did you mean `api`?"));
        assert!(error.faults()[1].message.contains("it is a component"));
        assert!(error.faults()[2].help.contains("did you mean `api`?"));
        let nowhere = release.check_against(&stack, &Places::none("r")).unwrap_err();
        assert_eq!(nowhere.place().unwrap().to_string(), "r:1:1");
    }
}
