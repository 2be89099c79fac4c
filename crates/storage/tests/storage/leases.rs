//! Leases: one holder at a time, and a generation that only grows.

use switchboard_domain::WriterId;
use switchboard_storage::{Db, Migrations};
use switchboard_testkit::on_both;

use crate::at;

on_both! {
    async fn of_many_contenders_one_wins(database) {
        // Two replicas, eight tasks each.
        let replica = Db::open(&database.options, Migrations::Require).await.unwrap();
        for round in 0..5 {
            let name = format!("refresh/{round}");
            let contenders: Vec<_> = (0..16)
                .map(|number: u32| {
                    let db = if number.is_multiple_of(2) { database.db.clone() } else { replica.clone() };
                    let holder = WriterId::new(&database.clock, &database.random);
                    let name = name.clone();
                    tokio::spawn(async move {
                        let mut tx = db.write().await.unwrap();
                        let lease = tx.leases().acquire(&name, holder, at(0), at(30)).await.unwrap();
                        tx.commit().await.unwrap();
                        lease
                    })
                })
                .collect();
            let mut won = Vec::new();
            for contender in contenders {
                won.extend(contender.await.unwrap());
            }
            assert_eq!(won.len(), 1, "{won:?}");
            assert_eq!(won[0].generation, 1);
        }
        replica.close().await;
    }

    async fn a_holder_who_slept_is_fenced(database) {
        let [first, second] = [(); 2].map(|()| WriterId::new(&database.clock, &database.random));
        let mut tx = database.db.write().await.unwrap();
        let slept = tx.leases().acquire("job", first, at(0), at(30)).await.unwrap().unwrap();
        assert!(tx.leases().acquire("job", second, at(29), at(60)).await.unwrap().is_none());
        assert!(tx.leases().renew(&slept, at(20), at(50)).await.unwrap());
        assert!(tx.leases().acquire("job", second, at(49), at(80)).await.unwrap().is_none());
        let taken = tx.leases().acquire("job", second, at(50), at(80)).await.unwrap().unwrap();
        assert_eq!(taken.generation, slept.generation + 1);
        assert!(!tx.leases().holds(&slept, at(51)).await.unwrap());
        assert!(!tx.leases().renew(&slept, at(51), at(90)).await.unwrap());
        assert!(!tx.leases().release(&slept).await.unwrap(), "it can't end another's");
        assert!(tx.leases().holds(&taken, at(51)).await.unwrap());
        assert!(!tx.leases().renew(&taken, at(80), at(90)).await.unwrap(), "over is over");
        assert!(tx.leases().release(&taken).await.unwrap());
        let again = tx.leases().acquire("job", first, at(51), at(60)).await.unwrap().unwrap();
        assert_eq!(again.generation, taken.generation + 1, "it never starts over");
        tx.commit().await.unwrap();
    }
}
