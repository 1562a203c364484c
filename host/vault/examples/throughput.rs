//! `throughput FILE VAULT-ROOT`: streams a file (`-`: standard input) into a backup set and prints
//! `{"seconds","peak_rss_mib","bytes","bytes_stored"}`. Everything that a real backup does is in
//! the time: durable, read back, published. A pipe as standard input is made as large as the one
//! between vaultup and a plugin's command.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Instant;

use jiff::Timestamp;
use model::contract::{Consistency, ProofLevel};
use vaultup_vault::{DatastoreRecord, Keys, Purpose, SetHeader, SetId, Vault};

/// What `system::process` asks for, for a pipe through which an artifact goes.
const PIPE_BYTES: usize = 1 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, root] = arguments.as_slice() else {
        return Err("usage: throughput FILE VAULT-ROOT".into());
    };
    let root = Path::new(root);
    let (keys, _) = Keys::load_or_create(&root.with_extension("identity").join("key"), &[])?;
    let vault = Vault::open(root, keys)?;
    let now = Timestamp::now();
    let began = Instant::now();
    let set = vault.begin(SetHeader {
        id: SetId::parse(&format!("throughput-{}", now.as_nanosecond()))?,
        stack: "throughput".into(),
        run: "throughput".into(),
        release: "1".into(),
        purpose: Purpose::Manual,
        began_at: now,
    })?;
    let mut writer = set.artifact("data", "stream")?;
    let mut source: Box<dyn Read> =
        if file == "-" { Box::new(io::stdin()) } else { Box::new(File::open(file)?) };
    if file == "-" {
        // Refusal, also because it is no pipe, costs speed only.
        let _ = rustix::pipe::fcntl_setpipe_size(io::stdin(), PIPE_BYTES);
    }
    let mut block = vec![0; 256 << 10];
    loop {
        match source.read(&mut block)? {
            0 => break,
            length => writer.write_all(&block[..length])?,
        }
    }
    let artifact = writer.finish()?;
    let (bytes, bytes_stored) = (artifact.bytes, artifact.bytes_stored);
    let record = DatastoreRecord {
        plugin: "none".into(),
        schema_version: None,
        schema_fingerprint: None,
        proof_wanted: ProofLevel::Exists,
        artifacts: vec![artifact],
        figures: Vec::new(),
        consistency: Consistency::None,
        taken_at: now,
        state: serde_json::Value::Null,
        meanwhile: vaultup_vault::Meanwhile::default(),
    };
    set.publish(BTreeMap::from([("data".into(), record)]))?;
    let seconds = began.elapsed().as_secs_f64();
    let status = fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
    let peak_kib: f64 = peak.trim().trim_end_matches(" kB").parse()?;
    let figures = serde_json::json!({
        "seconds": seconds,
        "peak_rss_mib": peak_kib / 1024.0,
        "bytes": bytes,
        "bytes_stored": bytes_stored,
    });
    writeln!(io::stdout(), "{figures}")?;
    Ok(())
}
