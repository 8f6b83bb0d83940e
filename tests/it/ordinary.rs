//! Ordinary server logs hold no Twilio code, however often their numbers equal one.

use std::sync::Arc;

use twdiag::catalog::Catalog;
use twdiag::detect::{Assume, Cursor, Decision, Detector, End, Rules};

/// Lines that `cargo test` makes; `TWDIAG_LINES=1000000 cargo test --test it ordinary` makes more.
const LINES: u64 = 40_000;

/// Lines of one block.
const BLOCK: u64 = 10_000;

/// What the lines are made of: `#` is a number of five digits, `%` one of one to three, `@` an address, `~` eight
/// hexadecimal digits. The forms are those of sshd, the kernel, Hadoop, OpenStack, Spark, nginx, Zookeeper and of
/// what runs beside them.
const FORMS: [&str; 62] = [
    "Dec 10 06:55:46 LabSZ sshd[#]: reverse mapping checking getaddrinfo for ns.example.com [@] failed - POSSIBLE BREAK-IN ATTEMPT!",
    "Dec 10 06:55:46 LabSZ sshd[#]: Invalid user webmaster from @",
    "Dec 10 06:55:46 LabSZ sshd[#]: input_userauth_request: invalid user webmaster [preauth]",
    "Dec 10 06:55:46 LabSZ sshd[#]: pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=@",
    "Dec 10 06:55:48 LabSZ sshd[#]: Failed password for invalid user webmaster from @ port # ssh2",
    "Dec 10 06:55:48 LabSZ sshd[#]: Connection closed by @ [preauth]",
    "Dec 10 07:02:47 LabSZ sshd[#]: error: Received disconnect from @: 3: com.jcraft.jsch.JSchException: Auth fail [preauth]",
    "Dec 10 07:13:56 LabSZ sshd[#]: Accepted publickey for deploy from @ port # ssh2: RSA SHA256:~~",
    "Dec 10 07:13:56 LabSZ sshd[#]: error: maximum authentication attempts exceeded for root from @ port # ssh2 [preauth]",
    "Dec 10 07:13:56 LabSZ sshd[#]: fatal: Write failed: Connection reset by peer [preauth]",
    "Jun 14 15:16:01 combo kernel: [#.~] usb %-1: device descriptor read/64, error -71",
    "Jun 14 15:16:01 combo kernel: Out of memory: Killed process # (java) total-vm:#kB, anon-rss:#kB, file-rss:0kB",
    "Jun 14 15:16:01 combo kernel: [#.%] EXT4-fs error (device sda%): ext4_lookup:1584: inode ##: comm find: deleted inode referenced: #",
    "Jun 14 15:16:01 combo kernel: java[#]: segfault at 0 ip ~ sp ~ error 4 in libjvm.so[~+~]",
    "Jun 14 15:16:01 combo kernel: TCP: request_sock_TCP: Possible SYN flooding on port #. Sending cookies.",
    "Jun 14 15:16:01 combo kernel: IN=eth0 OUT= SRC=@ DST=@ LEN=60 TTL=52 ID=# PROTO=TCP SPT=# DPT=# WINDOW=#",
    "[#.%] blk_update_request: I/O error, dev sdb, sector #",
    "Jun 14 15:16:01 combo sudo[#]: deploy : command not allowed ; TTY=pts/% ; COMMAND=/bin/kill #",
    "2015-10-18 18:01:47,978 INFO [main] org.apache.hadoop.mapreduce.v2.app.MRAppMaster: Created MRAppMaster for application appattempt_1445144423722_#_000001",
    "2015-10-18 18:01:50,353 INFO [main] org.apache.hadoop.mapreduce.jobhistory.JobHistoryUtils: Default file system [hdfs://msra-sa-41:#]",
    "2015-10-18 18:01:51,447 ERROR [IPC Server handler % on #] org.apache.hadoop.ipc.Server: Error reading response, code %, retry #",
    "2015-10-18 18:06:26,713 WARN [LeaseRenewer:msrabi@msra-sa-41:#] org.apache.hadoop.hdfs.LeaseRenewer: Failed to renew lease for [DFSClient_NONMAPREDUCE_#_1] for # seconds. Will retry shortly ...",
    "2015-10-18 18:06:26,713 ERROR [RMCommunicator Allocator] org.apache.hadoop.mapreduce.v2.app.rm.RMContainerAllocator: ERROR IN CONTACTING RM. @:#",
    "2015-10-18 18:06:26,713 INFO [Thread-#] org.apache.hadoop.mapred.MapTask: (RESET) equator # kv #(#) kvi #(#)",
    "081109 203615 # INFO dfs.DataNode$PacketResponder: PacketResponder % for block blk_-#~ terminating",
    "081109 203807 # WARN dfs.DataNode$DataXceiver: @:#:Got exception while serving blk_#~ to /@:",
    "081109 203807 # ERROR dfs.FSNamesystem: BLOCK* NameSystem.delete: blk_# is added to invalidSet of @:#",
    "nova-api.log.1 2017-05-16 00:00:00.008 # INFO nova.osapi_compute.wsgi.server [req-~ ~ - - -] @ \"GET /v2/~/servers/detail HTTP/1.1\" status: 200 len: # time: 0.#",
    "nova-compute.log.1 2017-05-16 00:00:04.500 # INFO nova.compute.manager [req-~ - - - - -] [instance: ~] VM Started (Lifecycle Event)",
    "nova-compute.log.1 2017-05-16 00:00:04.500 # ERROR oslo_service.periodic_task [req-~ - - - - -] Error during ComputeManager._sync_power_states, # instances",
    "nova-compute.log.1 2017-05-16 00:00:05.185 # WARNING nova.virt.libvirt.imagecache [req-~] Unknown base file: /var/lib/nova/instances/_base/~",
    "nova-scheduler.log.1 2017-05-16 00:00:10.000 # CRITICAL nova [-] OperationalError: (sqlite3.OperationalError) no such table, code #",
    "17/06/09 20:10:40 INFO executor.CoarseGrainedExecutorBackend: Got assigned task #",
    "17/06/09 20:10:40 INFO executor.Executor: Running task %.0 in stage %.0 (TID #)",
    "17/06/09 20:10:40 ERROR executor.Executor: Exception in task #.0 in stage %.0 (TID #)",
    "17/06/09 20:10:45 INFO storage.MemoryStore: Block rdd_#_% stored as values in memory (estimated size # B, free #.0 KB)",
    "17/06/09 20:10:45 WARN scheduler.TaskSetManager: Lost task #.0 in stage %.0 (TID #, @, executor %): FetchFailed(BlockManagerId(%, @, #, None), shuffleId=%, mapId=#, reduceId=%, message=",
    "17/06/09 20:10:45 ERROR shuffle.RetryingBlockFetcher: Failed to fetch block shuffle_%_#_%, and will not retry (% retries) from @:#",
    "17/06/09 20:10:45 INFO spark.SecurityManager: Started daemon with process name: #@mesos-slave-%",
    "17/06/09 20:10:45 ERROR yarn.ApplicationMaster: User application exited with status #",
    "@ - - [17/May/2015:08:05:32 +0000] \"GET /downloads/product_% HTTP/1.1\" 304 # \"-\" \"Debian APT-HTTP/1.3 (0.8.16~exp12ubuntu10.21)\"",
    "@ - - [17/May/2015:08:05:32 +0000] \"POST /api/orders/#/error HTTP/1.1\" 500 # \"https://shop.example/cart?code=#\" \"Mozilla/5.0 (X11; Linux x86_64)\"",
    "2015/05/17 08:05:32 [error] ###: *# connect() failed (111: Connection refused) while connecting to upstream, client: @, server: shop.example, request: \"GET / HTTP/1.1\", upstream: \"http://@:#/\"",
    "2015/05/17 08:05:32 [crit] ##%: *# SSL_do_handshake() failed (SSL: error:~:SSL routines:tls_process_client_hello) while SSL handshaking, client: @",
    "2015/05/17 08:05:32 [warn] ##%: *# a client request body is buffered to a temporary file /var/cache/nginx/client_temp/%, client: @",
    "2015-07-29 17:41:41,536 - INFO  [main:QuorumPeer@#] - tickTime set to #",
    "2015-07-29 19:03:50,391 - WARN  [SendWorker:188978561024:QuorumCnxManager$SendWorker@#] - Interrupted while waiting for message on queue",
    "2015-07-29 19:04:12,394 - INFO  [/@:#:QuorumCnxManager$Listener@#] - Received connection request /@:#",
    "2015-07-30 16:09:57,123 - ERROR [LearnerHandler-/@:#:LearnerHandler@#] - Unexpected exception causing shutdown while sock still open",
    "2015-07-30 16:09:57,123 - WARN  [NIOServerCxn.Factory:0.0.0.0/0.0.0.0:#:NIOServerCnxn@#] - caught end of stream exception, session 0x~, error #",
    "Jun 16 11:07:33 box9 haproxy[#]: @:# [16/Jun/2015:11:07:33 +0000] http~ app/app% 0/0/1/#/# 503 # - - SC-- 4/4/0/0/0 0/0 \"POST /error HTTP/1.1\"",
    "Jun 16 11:07:33 box9 postfix/smtpd[#]: warning: unknown[@]: SASL LOGIN authentication failed: error #",
    "Jun 16 11:07:33 box9 CRON[#]: (root) CMD (/usr/lib/sysstat/sa1 1 1 # error)",
    "Jun 16 11:07:33 box9 systemd[1]: app.service: Main process exited, code=exited, status=#/n/a",
    "Jun 16 11:07:33 box9 dhclient[#]: DHCPREQUEST on eth0 to @ port # (xid=0x~)",
    "#:M 17 Nov 2015 20:43:02.208 # Error accepting a client connection: Too many open files (%)",
    "2015-05-17 08:05:32.008 UTC [#] ERROR:  canceling statement due to statement timeout at character #",
    "2015-05-17 08:05:32.008 UTC [#-%] app@shop FATAL:  terminating connection due to administrator command, pid #",
    "2015-05-17T08:05:32.008Z # [ERROR] [MY-%] [Server] Got error # when reading table './shop/orders', code: #",
    "[2015-05-17 08:05:32,008] ERROR [ReplicaFetcher replicaId=%, leaderId=%] Error for partition orders-% at offset # (kafka.server.ReplicaFetcherThread)",
    "2015-05-17 08:05:32.008 [error] <0.#.0> closing AMQP connection <0.#.0> (@:# -> @:#): {handshake_timeout,frame_header}",
    "[2015-05-17T08:05:32,008][WARN ][o.e.m.j.JvmGcMonitorService] [node-%] [gc][young][#][%] duration [%s], collections [%]/[%s], total [%ms]/[#ms]",
];

/// A small generator of numbers that look random and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Appends a line of this form. Half of its numbers equal a catalogued code.
    fn write(&mut self, form: &str, codes: &[u32], block: &mut String) {
        for character in form.chars() {
            match character {
                '#' if self.below(2) == 0 => *block += &codes[self.below(codes.len() as u64) as usize].to_string(),
                '#' => *block += &(10_000 + self.below(90_000)).to_string(),
                '%' => *block += &self.below(1000).to_string(),
                '@' => *block += &format!("10.{}.{}.{}", self.below(256), self.below(256), self.below(256)),
                '~' => *block += &format!("{:08x}", self.next() as u32),
                other => block.push(other),
            }
        }
        block.push('\n');
    }
}

#[test]
fn ordinary_server_logs_give_not_one_match() {
    let lines = std::env::var("TWDIAG_LINES").map_or(LINES, |lines| lines.parse().unwrap());
    let catalog = Catalog::embedded();
    let codes: Vec<u32> = catalog.entries().iter().map(|entry| entry.code.get()).collect();
    let mut scanner = Detector::new(Arc::new(catalog), Arc::new(Rules::embedded())).scanner(Assume::Nothing);
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let mut wrong = Vec::new();
    let mut made = 0;
    while made < lines {
        let mut block = String::new();
        for _ in 0..BLOCK.min(lines - made) {
            let form = FORMS[numbers.below(FORMS.len() as u64) as usize];
            numbers.write(form, &codes, &mut block);
            made += 1;
        }
        scanner.scan(block.as_bytes(), &mut Cursor::default(), End::Input, &mut |decision| {
            if let Decision::Accepted(matched) = decision {
                wrong.push(format!("{} {}", matched.code, String::from_utf8_lossy(matched.text)));
            }
        });
    }
    assert_eq!(made, lines);
    println!("{made} lines, {} matches", wrong.len());
    assert!(wrong.is_empty(), "{} of {made}: {:#?}", wrong.len(), &wrong[..wrong.len().min(10)]);
}
