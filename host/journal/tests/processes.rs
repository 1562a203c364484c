#[path = "common/mod.rs"]
mod common;
use common::*;
use std::time::Instant;
use vaultup_journal::*;
fn med(mut v: Vec<f64>) -> (f64,f64,f64) { v.sort_by(f64::total_cmp); (v[0], v[v.len()/2], v[v.len()*99/100]) }
fn main() {
    for base in ["/tmp", "/dev/shm"] {
        let dir = tempfile::tempdir_in(base).unwrap();
        let t = Instant::now();
        let journal = Journal::open(dir.path()).unwrap();
        println!("{base} create {:?}", t.elapsed());
        let t = Instant::now();
        let held = acquire(&journal, 1, 0);
        println!("{base} acquire {:?}", t.elapsed());
        let mut v = vec![];
        for n in 1..=2000u64 { let t = Instant::now(); append(&journal, &held, n, n); v.push(t.elapsed().as_secs_f64()*1e3); }
        println!("{base} append min/median/p99 ms {:?}", med(v));
        let mut v = vec![];
        for _ in 0..1000 { let t = Instant::now(); journal.fence(&held).unwrap(); v.push(t.elapsed().as_secs_f64()*1e3); }
        println!("{base} fence {:?}", med(v));
        let t = Instant::now(); journal.renew(&held, at(1), LEASE).unwrap(); println!("renew {:?}", t.elapsed());
        let t = Instant::now(); journal.release(held).unwrap(); println!("release {:?}", t.elapsed());
        drop(journal);
        let mut v = vec![];
        for _ in 0..20 { let t = Instant::now(); Journal::open(dir.path()).unwrap(); v.push(t.elapsed().as_secs_f64()*1e3); }
        println!("{base} open 2000 records {:?}", med(v));
        let dir = tempfile::tempdir_in(base).unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        let held = acquire(&journal, 1, 0);
        append(&journal, &held, 1, 20);
        let mut v = vec![];
        for _ in 0..100 { let t = Instant::now(); Journal::open_read_only(dir.path()).unwrap(); v.push(t.elapsed().as_secs_f64()*1e3); }
        println!("{base} open-ro live 20 records {:?}", med(v));
        drop(journal);
        let mut v = vec![];
        for _ in 0..100 { let t = Instant::now(); Journal::open_read_only(dir.path()).unwrap(); v.push(t.elapsed().as_secs_f64()*1e3); }
        println!("{base} open-ro crashed 20 records {:?}", med(v));
        let journal = Journal::open(dir.path()).unwrap();
        journal.release(held).unwrap(); drop(journal);
        let mut v = vec![];
        for _ in 0..100 { let t = Instant::now(); Journal::open_read_only(dir.path()).unwrap(); v.push(t.elapsed().as_secs_f64()*1e3); }
        println!("{base} open-ro clean 20 records {:?}", med(v));
        for e in std::fs::read_dir(dir.path()).unwrap() { let e=e.unwrap(); println!("{:?} {}", e.file_name(), e.metadata().unwrap().len()); }
    }
}
