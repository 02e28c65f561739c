/**
 * The same templates asked of an engine: run by test/kernel/format.test.ts once with ctr and, beside a dockerd, with
 * docker. Prints the answers as JSON; what differs from run to run is replaced.
 */
import { imageArchive } from "./engine.ts";
import { binary } from "./needs.ts";

export interface Answer {
  readonly command: string;
  readonly stdout: string;
  /** The last line's words after the engine's own prefix. */
  readonly complaint: string;
  readonly status: number;
}

const WEB = ["ps", "-a", "--no-trunc", "--filter", "name=web", "--format"];
const ALL = ["ps", "-a", "--format"];
const IMAGES = ["images", "--filter", "reference=fmt/app", "--format"];
const CONTAINER = ["inspect", "web", "--format"];
const IMAGE = ["image", "inspect", "fmt/app:1", "--format"];
const HISTORY = ["history", "fmt/app:1", "--format"];

/** Command and template. */
const QUESTIONS: readonly (readonly [readonly string[], string])[] = [
  // The names of Docker's Go types
  [
    CONTAINER,
    "{{len .ID}} {{.HostConfig.NanoCPUs}} {{.HostConfig.CPUShares}} {{.HostConfig.DNS}} {{.HostConfig.CPUQuota}}",
  ],
  [CONTAINER, "{{.SizeRw}} {{.SizeRootFs}}"],
  [IMAGE, "{{len .ID}}"],
  [CONTAINER, "{{.Config.MacAddress}}|{{.Config.NetworkDisabled}}|{{.HostConfig.Mounts}}|{{.HostConfig.StorageOpt}}"],
  // Rows: fields, pipelines, functions
  [WEB, "{{.Names}} {{.Image}} {{.Command}} {{.State}} {{.Networks}} {{.Mounts}} {{.LocalVolumes}}"],
  [WEB, '{{.Label "tier"}}|{{.Label "nosuch"}}|{{.Label "com.example.long-name"}}'],
  [WEB, '{{.Names | upper | printf "%s-%d" "x" 3}}'],
  [WEB, '{{printf "%q %s %v %5s|%-5s|%05d|%x|%.2f|%t" .Names .State .Image "ab" "ab" 42 255 3.14159 true}}'],
  [WEB, '{{printf "%d%%" 5}} {{printf "%s"}} {{printf "x" 1}}'],
  [WEB, "{{title .State}} {{lower .Names}} {{upper .State}} {{truncate .Names 2}} {{truncate .Names 50}}"],
  [WEB, '{{pad .State 2 3}}| {{pad "" 2 3}}|'],
  [WEB, '{{json .State}} {{json .Names}} {{json (split "a,b" ",")}}'],
  [WEB, '{{join (split "a,b,c" ",") "+"}} {{index (split "a,b,c" ",") 1}} {{len (split "a,b,c" ",")}} {{len .Names}}'],
  [WEB, '{{range split "a,b,c" ","}}<{{.}}>{{end}}'],
  [WEB, '{{range $i, $e := split "a,b" ","}}{{$i}}={{$e}};{{end}}'],
  [WEB, '{{range $e := split "a,b,c" ","}}{{if eq $e "b"}}{{continue}}{{end}}{{$e}}{{end}}'],
  [WEB, '{{range split "a,b,c" ","}}{{if eq . "b"}}{{break}}{{end}}{{.}}{{end}}'],
  [WEB, "{{range .Ports}}x{{else}}none{{end}}"],
  [WEB, '{{if eq .State "created"}}yes{{else}}no{{end}}'],
  [WEB, '{{if and (eq .State "created") (ne .Names "x")}}1{{else if eq .Names "web"}}2{{else}}3{{end}}'],
  [WEB, "{{if .Ports}}ports{{else}}no ports{{end}}{{if not .Ports}}!{{end}}"],
  [WEB, '{{with .Names}}[{{.}}]{{end}}{{with .Ports}}x{{else}}-{{end}}{{with $x := "v"}}{{$x}}{{end}}'],
  [WEB, '{{$n := .Names}}{{$n}}{{$n = "other"}}{{$n}}'],
  [WEB, "{{/* a comment */}}{{.Names}}{{- /* trimmed */ -}}   x"],
  [WEB, "a  {{- .Names -}}  b\n\n{{- .State}}"],
  [WEB, '{{println .Names "x" 1}}{{print "a" 1 2 "b"}}{{print 1 2}}'],
  [WEB, '{{or .Ports .Names}} {{and .Names .State}} {{or "" 0 false}} {{not true}}'],
  [WEB, '{{lt 1 2}} {{le 2 2}} {{gt 1 2}} {{ge 2 3}} {{eq 1 2 1}} {{ne 1 2}} {{eq "a" "a"}} {{lt "a" "b"}}'],
  [WEB, '{{len "äö"}} {{slice "abcdef" 1 3}} {{slice "abc" 1}} {{index "abc" 1}}'],
  [WEB, '{{"quo\\"te\\t"}} {{`raw \\n`}} {{\'a\'}} {{0x1F}} {{1.5}} {{1e3}} {{true}} {{-3}}'],
  [WEB, '{{(split .Names "e") | len}} {{.Names | len | printf "%03d"}} {{((.Names))}}'],
  [WEB, "{{print nil}}"],
  [WEB, '{{html "<a>"}} {{js "it\'s"}} {{urlquery "a b&c"}}'],
  [
    WEB,
    '{{define "x"}}[{{.}}]{{$y := 1}}{{$y}}{{end}}{{range split "a,b" ","}}{{template "x" .}}{{end}}{{template "x"}}',
  ],
  [WEB, '{{template "nosuch" .}}'],
  [WEB, '{{define "x"}}{{$z}}{{end}}'],
  [WEB, "{{if .Names}}{{$q := 1}}{{end}}{{$q}}"],
  [WEB, '{{define "x"}}[{{.}}]{{end}}{{template "x" .Names}}'],
  [WEB, '{{block "y" .State}}<{{.}}>{{end}}'],
  [ALL, 'table {{.Names}}\t{{.State}}\t{{.Label "tier"}}'],
  [ALL, "table {{.Names | upper}}\\t{{.Image}}"],
  [ALL, "{{.Names}}\\n{{.State}}"],
  [
    ["ps", "-a", "--filter", "name=nosuch", "--format"],
    "table {{.ID}}\t{{.Names}}\t{{.Mounts}}\t{{.LocalVolumes}}\t{{.Networks}}",
  ],
  [["ps", "-a", "--filter", "name=nosuch", "--format"], "{{.ID}}"],
  [WEB, "{{.Nope}}"],
  [WEB, "{{.Names.Nope}}"],
  [WEB, "{{nosuch .Names}}"],
  [WEB, "{{.Names"],
  [WEB, "{{if .Names}}x"],
  [WEB, "{{end}}"],
  [WEB, "{{upper}}"],
  [WEB, "{{index .Names 99}}"],
  [WEB, '{{lt 1 "a"}}'],
  [WEB, "{{.Names | }}"],
  [WEB, "{{$x}}"],
  [WEB, '{{"unfinished}}'],
  // Images
  [IMAGES, "{{.Repository}}:{{.Tag}} {{.Digest}} {{.Containers}} {{.SharedSize}} {{.UniqueSize}}"],
  [IMAGES, "table {{.Repository}}\t{{.Tag}}"],
  [IMAGES, '{{if eq .Tag "1"}}one{{end}}{{.Repository | split "/" | len}}'],
  [IMAGES, '{{index (split .Repository "/") 1 | title}}'],
  [IMAGES, "{{.Nope}}"],
  [HISTORY, "{{.Comment}}|{{.CreatedBy}}|{{.ID | len}}"],
  // Objects
  [CONTAINER, "{{.Name}} {{.State.Status}} {{.State.Running}} {{.State.ExitCode}} {{.RestartCount}} {{.Path}}"],
  [CONTAINER, "{{.Args}} {{.Config.Env}} {{.Config.Cmd}} {{.Config.Entrypoint}} {{.Config.Labels}}"],
  [CONTAINER, "{{json .Config.Cmd}} {{json .Config.Labels}} {{json .Args}} {{json .Name}} {{json .State.Running}}"],
  [
    CONTAINER,
    "{{json .HostConfig.CapAdd}} {{.HostConfig.CapAdd}} {{json .HostConfig.PortBindings}} {{.HostConfig.PortBindings}}",
  ],
  [CONTAINER, '{{index .Config.Labels "tier"}} {{.Config.Labels.tier}} [{{index .Config.Labels "nosuch"}}]'],
  [CONTAINER, "{{.Config.Labels.nosuch}}"],
  [CONTAINER, "{{index .Args 0}} {{index .Args 1 | len}} {{len .Args}}"],
  [CONTAINER, "{{range .Args}}[{{.}}]{{end}} {{range $k, $v := .Config.Labels}}{{$k}}={{$v}};{{end}}"],
  [CONTAINER, "{{range .Mounts}}{{.Type}} {{.Destination}} {{.RW}}{{end}}"],
  [CONTAINER, '{{join .Args "/"}} {{join .Config.Cmd ","}}'],
  [CONTAINER, "{{if .State.Running}}up{{else}}down{{end}} {{with .Config}}{{.WorkingDir}}|{{$.Name}}{{end}}"],
  [
    CONTAINER,
    "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.RestartPolicy.Name}} {{.HostConfig.NetworkMode}}",
  ],
  [CONTAINER, '{{printf "%.3s" .Name}} {{slice .Name 1 3}} {{gt .HostConfig.Memory 1000}} {{eq .State.ExitCode 0}}'],
  [CONTAINER, "{{.HostConfig.Memory | json}} {{json .HostConfig.Init}} {{json .HostConfig.PidsLimit}}"],
  [CONTAINER, "{{len .Config.Env}} {{len .Mounts}} {{not .State.Paused}}"],
  [CONTAINER, "{{.Nope}}"],
  [CONTAINER, "{{.State.Nope}}"],
  [CONTAINER, "{{index .Args 9}}"],
  [CONTAINER, "{{.Name"],
  [IMAGE, "{{.RepoTags}} {{.Os}} {{.Architecture}} {{.Comment}} {{.RootFS.Type}} {{len .RootFS.Layers}}"],
  [
    IMAGE,
    "{{json .Config.Env}} {{.Config.ExposedPorts}} {{json .Config.ExposedPorts}} {{.Config.User}} {{.Config.StopSignal}}",
  ],
  [IMAGE, '{{range $port, $_ := .Config.ExposedPorts}}{{$port}} {{end}}{{index .Config.Labels "a.b"}}'],
  [IMAGE, "{{json .Config.Healthcheck}} {{json .Config.OnBuild}} {{json .RepoDigests}}"],
  [IMAGE, "{{.Config.Volumes}} {{json .Config.Volumes}} {{.Config.Cmd | json}}"],
  [IMAGE, "{{.Id.Nope}}"],
  [
    ["info", "--format"],
    "{{.OSType}} {{.Architecture}} {{.NCPU}} {{.CgroupVersion}} {{len .SecurityOptions}} {{.KernelVersion}}",
  ],
  [["info", "--format"], "{{if gt .Containers 1}}several{{end}} {{.ContainersRunning}} {{json .Swarm.LocalNodeState}}"],
  [["info", "--format"], '{{range .SecurityOptions}}{{index (split . ",") 0}}{{end}} {{.Driver}} {{.CgroupDriver}}'],
  [["info", "--format"], "{{.Nope}}"],
  [["version", "--format"], "{{.Server.Os}}/{{.Server.Arch}} {{.Client.Os}} {{.Server.KernelVersion}}"],
  [["version", "--format"], "{{with .Server}}{{.Os}}{{end}}"],
];

async function run(...words: readonly string[]): Promise<{ stdout: string; stderr: string; status: number }> {
  const child = Bun.spawn([binary(), ...words], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr, status] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { stdout, stderr, status };
}

async function must(...words: readonly string[]): Promise<void> {
  const { status, stderr } = await run(...words);
  if (status !== 0) throw new Error(`${words.join(" ")}: ${stderr}`);
}

/** Makes what is asked about and asks. */
export async function answers(): Promise<readonly Answer[]> {
  const changes = [
    "ENV A=1 B=two",
    "EXPOSE 80 81/udp",
    'LABEL a.b=c d="e f"',
    "VOLUME /data",
    "WORKDIR /srv",
    "USER alice",
    "HEALTHCHECK --interval=5s CMD true",
    'CMD ["/bin/sh","-c","echo <hi> & there"]',
  ];
  const archive = imageArchive("minimal");
  await must("import", ...changes.flatMap((change) => ["-c", change]), "-m", "a message", archive, "fmt/app:1");
  await must("import", "-m", "plain", archive, "fmt/plain");
  const labels = ["-l", "tier=web", "-l", "com.example.long-name=v w"];
  await must(
    "create",
    "--name",
    "web",
    "--network",
    "none",
    "-m",
    "64m",
    "-v",
    "/mnt:/mnt:ro",
    ...labels,
    "fmt/plain",
    "sh",
    "-c",
    "echo <hi>",
  );
  await must("create", "--name", "other", "--network", "none", "fmt/plain", "true");
  const found: Answer[] = [];
  for (const [words, template] of QUESTIONS) {
    const { stdout, stderr, status } = await run(...words, template);
    const complaint = (stderr.trim().split("\n")[0] ?? "").replace(
      /^(ctr: |Error response from daemon: |failed to (execute|parse) template: |template parsing error: )*/,
      "",
    );
    // Docker ends a line that it has nothing for.
    found.push({
      command: [...words, template].join(" "),
      stdout: status === 0 ? stdout : stdout.trim(),
      complaint,
      status,
    });
  }
  await must("rm", "web", "other");
  await must("rmi", "fmt/app:1", "fmt/plain");
  return found;
}

if (import.meta.main) console.log(JSON.stringify(await answers()));
