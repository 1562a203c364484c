//! Gathers the pages of `vaultup explain` into one table, so that adding a page is adding a file.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pages = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("src/explain");
    println!("cargo:rerun-if-changed={}", pages.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(&pages)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    let mut table = String::from("&[\n");
    for name in names.iter().filter(|name| name.ends_with(".md")) {
        let digits = name.trim_start_matches("VU").trim_end_matches(".md");
        let number: u16 = digits.parse()?;
        let path = pages.join(name);
        writeln!(table, "    ({number}, include_str!({:?})),", path.display().to_string())?;
    }
    table.push_str("]\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("pages.rs"), table)?;
    Ok(())
}
