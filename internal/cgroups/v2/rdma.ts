/** The files are those of v1. */
export { rdma } from "../v1/rdma.ts";
