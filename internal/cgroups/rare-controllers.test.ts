/** Controllers that this project's machines do not have: a temporary directory stands in for their files. */
import { afterAll, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { hugetlb as hugetlbV1 } from "./v1/hugetlb.ts";
import { netClasses, netPriorities } from "./v1/network.ts";
import { rdma } from "./v1/rdma.ts";
import { hugetlb as hugetlbV2 } from "./v2/hugetlb.ts";
import { network } from "./v2/network.ts";

const home = mkdtempSync("/tmp/ctr-cgroups-");
let directory = "";
let count = 0;
beforeEach(() => {
  directory = `${home}/${count++}`;
  mkdirSync(directory);
});
afterAll(() => rmSync(home, { recursive: true }));

function files(...names: readonly string[]): void {
  for (const name of names) writeFileSync(`${directory}/${name}`, "");
}
const content = (name: string) => readFileSync(`${directory}/${name}`, "utf8");

const HUGE = { hugepageLimits: [{ pageSize: "2MB", limit: 4194304 }] };

test("v1 hugetlb: reservations are limited where the kernel counts them", () => {
  files("hugetlb.2MB.limit_in_bytes");
  hugetlbV1.apply(directory, HUGE);
  expect(content("hugetlb.2MB.limit_in_bytes")).toBe("4194304");
  files("hugetlb.2MB.rsvd.limit_in_bytes");
  hugetlbV1.apply(directory, HUGE);
  expect(content("hugetlb.2MB.rsvd.limit_in_bytes")).toBe("4194304");
});

test("v2 hugetlb: both limits", () => {
  files("hugetlb.2MB.max", "hugetlb.2MB.rsvd.max");
  hugetlbV2.apply(directory, HUGE);
  expect([content("hugetlb.2MB.max"), content("hugetlb.2MB.rsvd.max")]).toEqual(["4194304", "4194304"]);
});

test("hugetlb: a page size that the kernel does not have is explained", () => {
  expect(() => hugetlbV1.apply(directory, HUGE)).toThrow("this kernel has no hugetlb.2MB.limit_in_bytes");
});

test("v1 network: class and priorities are asked of their own controllers", () => {
  const resources = { network: { classID: 0x100001, priorities: [{ name: "eth0", priority: 5 }] } };
  files("net_cls.classid", "net_prio.ifpriomap");
  netClasses.apply(directory, resources);
  netPriorities.apply(directory, resources);
  expect([content("net_cls.classid"), content("net_prio.ifpriomap")]).toEqual(["1048577", "eth0 5"]);
  expect([netClasses, netPriorities].map(({ isAsked }) => isAsked({ network: { classID: 1 } }))).toEqual([true, false]);
});

test("v2 network: refused, because there is nothing that does it", () => {
  expect(() => network.apply(directory, { network: { classID: 1 } })).toThrow("cgroup v2 has none");
  network.apply(directory, { network: {} });
});

test("rdma: a line for each device, with what is given", () => {
  files("rdma.max");
  rdma.apply(directory, { rdma: { mlx5_1: { hcaHandles: 3, hcaObjects: 10000 } } });
  expect(content("rdma.max")).toBe("mlx5_1 hca_handle=3 hca_object=10000");
  rdma.apply(directory, { rdma: { rxe3: { hcaObjects: 1 } } });
  expect(content("rdma.max")).toStartWith("rxe3 hca_object=1");
});
