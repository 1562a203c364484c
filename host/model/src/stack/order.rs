//! The order of start, and circles that make one impossible.

use std::collections::{BTreeMap, BTreeSet};

use super::Stack;
use crate::name::Name;

/// For each component and datastore, what must be up before it.
pub(super) type Edges = BTreeMap<Name, BTreeSet<Name>>;

/// See [`Stack::order`]. A stack that was parsed has no circle; should one that was made otherwise
/// have any, its members follow at the end, by name, so that nothing is ever left out.
pub(super) fn order(stack: &Stack) -> Vec<Name> {
    let mut waiting = edges(stack);
    let mut order = Vec::with_capacity(waiting.len());
    while let Some(name) = next(&waiting) {
        waiting.remove(&name);
        order.push(name);
    }
    order
}

/// The first by name that waits for nothing more; the first of all if all wait.
fn next(waiting: &Edges) -> Option<Name> {
    let free = |needs: &BTreeSet<Name>| needs.iter().all(|name| !waiting.contains_key(name));
    let ready = waiting.iter().find(|(_, needs)| free(needs)).map(|(name, _)| name);
    ready.or_else(|| waiting.keys().next()).cloned()
}

fn edges(stack: &Stack) -> Edges {
    let mut edges: Edges =
        stack.datastores.keys().map(|name| (name.clone(), BTreeSet::new())).collect();
    for (name, component) in &stack.components {
        let needs = edges.entry(name.clone()).or_default();
        needs.extend(component.needs.iter().cloned());
    }
    for (name, datastore) in &stack.datastores {
        for writer in &datastore.written_by {
            if let Some(needs) = edges.get_mut(writer) {
                needs.insert(name.clone());
            }
        }
    }
    edges
}

/// Circles: each begins with its first name and ends with that name again. Two circles that share
/// a member count as one, since breaking one shows the other.
pub(super) fn circles(edges: &Edges) -> Vec<Vec<Name>> {
    let mut found: Vec<Vec<Name>> = Vec::new();
    let mut taken: BTreeSet<&Name> = BTreeSet::new();
    for start in edges.keys() {
        if taken.contains(start) {
            continue;
        }
        if let Some(circle) = shortest_circle(edges, start) {
            taken.extend(circle.iter());
            found.push(circle.into_iter().cloned().collect());
        }
    }
    found
}

/// The shortest way from a name back to itself, breadth first.
fn shortest_circle<'e>(edges: &'e Edges, start: &'e Name) -> Option<Vec<&'e Name>> {
    let mut came_from: BTreeMap<&Name, &Name> = BTreeMap::new();
    let mut row = vec![start];
    while !row.is_empty() {
        let mut next_row = Vec::new();
        for name in row {
            for need in edges.get(name).into_iter().flatten() {
                if need == start {
                    return Some(walked(&came_from, start, name));
                }
                if !came_from.contains_key(need) {
                    came_from.insert(need, name);
                    next_row.push(need);
                }
            }
        }
        row = next_row;
    }
    None
}

fn walked<'e>(
    came_from: &BTreeMap<&'e Name, &'e Name>,
    start: &'e Name,
    last: &'e Name,
) -> Vec<&'e Name> {
    let mut way = vec![start, last];
    let mut name = last;
    while name != start {
        let Some(before) = came_from.get(name) else { break };
        name = before;
        way.push(name);
    }
    if last == start {
        way.truncate(2);
    }
    way.reverse();
    way
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use proptest::prelude::{prop, proptest};

    use super::{Edges, circles};
    use crate::name::Name;
    use crate::stack::Stack;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn edges(pairs: &[(&str, &[&str])]) -> Edges {
        let needs = |list: &[&str]| list.iter().map(|text| name(text)).collect();
        pairs.iter().map(|(from, to)| (name(from), needs(to))).collect()
    }

    fn shown(edges: &Edges) -> Vec<String> {
        let joined =
            |circle: Vec<Name>| circle.iter().map(Name::as_str).collect::<Vec<_>>().join(">");
        circles(edges).into_iter().map(joined).collect()
    }

    #[test]
    fn a_circle_is_shown_from_its_first_name_to_that_name_again() {
        assert_eq!(shown(&edges(&[("a", &["b"]), ("b", &["c"]), ("c", &["a"])])), ["a>b>c>a"]);
        assert_eq!(shown(&edges(&[("a", &["a"])])), ["a>a"]);
        assert_eq!(shown(&edges(&[("z", &["b"]), ("b", &["c"]), ("c", &["b"])])), ["b>c>b"]);
        assert_eq!(
            shown(&edges(&[("a", &["b"]), ("b", &["a"]), ("x", &["y"]), ("y", &["x"])])),
            ["a>b>a", "x>y>x"]
        );
        assert!(shown(&edges(&[("a", &["b", "c"]), ("b", &["c"]), ("c", &[])])).is_empty());
    }

    /// A stack of components `c0`, `c1`, …; each pair is (who, needs whom).
    fn stack(count: usize, pairs: &[(usize, usize)]) -> String {
        let mut text = "format = 1\n[stack]\nname = \"s\"\n".to_owned();
        for who in 0..count {
            let needs: std::collections::BTreeSet<String> = pairs
                .iter()
                .filter(|(from, to)| *from == who && to < from)
                .map(|(_, to)| format!("\"c{to}\""))
                .collect();
            let needs: Vec<String> = needs.into_iter().collect();
            text.push_str(&format!(
                "[components.c{who}]\nplugin = \"p\"\nneeds = [{}]\n",
                needs.join(", ")
            ));
        }
        text
    }

    proptest! {
        #[test]
        fn everything_starts_once_and_after_what_it_needs(
            pairs in prop::collection::vec((0_usize..12, 0_usize..12), 0..40),
        ) {
            let stack = Stack::parse(&stack(12, &pairs), "f").unwrap();
            let order = stack.order();
            assert_eq!(order.len(), 12);
            for (name, component) in &stack.components {
                let at = |name: &Name| order.iter().position(|other| other == name).unwrap();
                assert!(component.needs.iter().all(|need| at(need) < at(name)));
            }
            assert_eq!(order, stack.order());
        }
    }

    #[test]
    fn a_datastore_starts_before_those_who_write_to_it_and_equals_start_by_name() {
        let text = "format = 1\n[stack]\nname = \"s\"\n[components.api]\nplugin = \"p\"\n\
                    [components.web]\nplugin = \"p\"\nneeds = [\"api\"]\n\
                    [components.aside]\nplugin = \"p\"\n\
                    [datastores.orders]\nplugin = \"p\"\nwritten-by = [\"api\"]\n";
        let order = Stack::parse(text, "f").unwrap().order();
        let names: Vec<&str> = order.iter().map(Name::as_str).collect();
        assert_eq!(names, ["aside", "orders", "api", "web"]);
    }
}
