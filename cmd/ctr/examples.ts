/** Examples for `--help`, by the shortest way to say a command. Each is a line that works as it stands. */

type Example = readonly [what: string, line: string];

const EXAMPLES: { readonly [command: string]: readonly Example[] } = {
  attach: [
    ["See and type what the container's own program does", "ctr attach web"],
    ["Only look; ctrl-c ends the looking, not the program", "ctr attach --no-stdin --sig-proxy=false web"],
  ],
  build: [["Build the Dockerfile of this directory", "ctr build -t app:1 ."]],
  "builder prune": [["Free what old builds left", "ctr builder prune -f"]],
  commit: [
    ["Keep what was done in a container as an image", 'ctr commit -m "add tools" web web:tools'],
    ["And give it another command", 'ctr commit -c \'CMD ["nginx", "-g", "daemon off;"]\' web web:2'],
  ],
  completion: [
    ["In this shell, or in ~/.bashrc for every one", "source <(ctr completion bash)"],
    ["For fish", "ctr completion fish > ~/.config/fish/completions/ctr.fish"],
  ],
  cp: [
    ["Out of a container", "ctr cp web:/etc/nginx/nginx.conf ."],
    ["Into a container, owners kept", "ctr cp -a site/. web:/usr/share/nginx/html"],
    ["As an archive", "ctr cp web:/var/log - | gzip > logs.tar.gz"],
  ],
  create: [["Everything but the start", "ctr create --name web -p 8080:80 nginx"]],
  diff: [["What the container changed in its files", "ctr diff web"]],
  events: [
    ["From now on", "ctr events"],
    ["What died in the last hour", "ctr events --since 1h --until 0s -f event=die"],
  ],
  exec: [
    ["A shell in a running container", "ctr exec -it web sh"],
    ["One command, as another user and with a variable", "ctr exec -u nobody -e LANG=C web id"],
  ],
  export: [
    ["The files of a container into an archive", "ctr export -o web.tar web"],
    ["Straight into an image of one layer", "ctr export web | ctr import - web:flat"],
  ],
  history: [
    ["How an image came to be", "ctr history nginx"],
    ["Whole commands with their sizes", "ctr history --no-trunc --format '{{.Size}}\\t{{.CreatedBy}}' nginx"],
  ],
  images: [
    ["All images", "ctr images"],
    ["Those without a name, ids only", "ctr images -q -f dangling=true"],
    ["Names and sizes", "ctr images --format '{{.Repository}}:{{.Tag}} {{.Size}}'"],
  ],
  "image prune": [["Remove images that no container uses", "ctr image prune -a"]],
  import: [
    ["A root file system becomes an image", "ctr import rootfs.tar.gz base:1"],
    ["From a server, with a command", "ctr import -c 'CMD [\"/bin/sh\"]' https://example.com/rootfs.tar.zst base:1"],
  ],
  info: [
    ["The engine and its machine", "ctr info"],
    ["One fact", "ctr info -f '{{.CgroupVersion}}'"],
  ],
  inspect: [
    ["All that is known", "ctr inspect web"],
    ["One address", "ctr inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' web"],
  ],
  "container inspect": [["With the size of its files", "ctr container inspect -s -f '{{.SizeRw}}' web"]],
  "image inspect": [["The environment that an image sets", "ctr image inspect -f '{{json .Config.Env}}' nginx"]],
  kill: [
    ["At once", "ctr kill web"],
    ["Another signal", "ctr kill -s HUP web"],
  ],
  load: [
    ["Images from an archive", "ctr load -i images.tar"],
    ["From another machine", "ssh other ctr save app:1 | ctr load"],
  ],
  login: [
    ["To Docker Hub; the password is asked for", "ctr login"],
    ["To a registry of one's own, from a file", "ctr login -u me --password-stdin registry.example.com < password"],
  ],
  logout: [["Forget the password", "ctr logout registry.example.com"]],
  logs: [
    ["The last lines, and what follows", "ctr logs -f --tail 20 web"],
    ["Of the last ten minutes, with times", "ctr logs -t --since 10m web"],
  ],
  "manifest inspect": [["For which platforms an image exists", "ctr manifest inspect nginx"]],
  netd: [
    ["Let systemd start the network daemon when it is needed", "ctr netd install --now"],
    ["Whether it runs, and what it has", "ctr netd status"],
    ["What differs from what is recorded", "ctr netd check"],
  ],
  "network connect": [["Give a running container another network", "ctr network connect backend web"]],
  "network create": [
    ["A network whose containers find each other by name", "ctr network create --subnet 10.9.0.0/24 backend"],
  ],
  "network disconnect": [["Take a network away", "ctr network disconnect backend web"]],
  "network inspect": [["Who is on it", "ctr network inspect -f '{{json .Containers}}' backend"]],
  "network ls": [["All networks", "ctr network ls"]],
  "network prune": [["Remove those that nobody uses", "ctr network prune -f"]],
  "network rm": [["Remove one", "ctr network rm backend"]],
  pause: [["Stop every process where it stands", "ctr pause web"]],
  port: [
    ["Where its ports are on this machine", "ctr port web"],
    ["One of them", "ctr port web 80/tcp"],
  ],
  "container prune": [["Remove all stopped containers", "ctr container prune -f"]],
  ps: [
    ["What runs", "ctr ps"],
    ["What failed", "ctr ps -a -f status=exited -f exited=1"],
    ["Names and states", "ctr ps -a --format 'table {{.Names}}\\t{{.Status}}'"],
  ],
  pull: [
    ["An image by its tag", "ctr pull nginx:1.29"],
    ["For another platform", "ctr pull --platform linux/arm64 nginx"],
  ],
  push: [["To the registry in its name", "ctr push registry.example.com/team/app:1"]],
  rename: [["Another name", "ctr rename web web-old"]],
  restart: [["Stop with 30 seconds of patience, then start", "ctr restart -t 30 web"]],
  rm: [
    ["A stopped container with its anonymous volumes", "ctr rm -v web"],
    ["Whatever it does", "ctr rm -f web"],
  ],
  rmi: [
    ["A name, and the image with its last name", "ctr rmi nginx:1.29"],
    ["All without a name", "ctr rmi $(ctr images -q -f dangling=true)"],
  ],
  run: [
    ["A web server in the background", "ctr run -d --name web -p 8080:80 nginx"],
    ["A shell that is gone when it ends", "ctr run --rm -it debian bash"],
    ["With limits and a directory of the machine", "ctr run -m 256m --cpus 0.5 -v ./site:/srv:ro nginx"],
  ],
  save: [
    ["Images into an archive", "ctr save -o images.tar nginx:1.29 debian"],
    ["To another machine", "ctr save app:1 | ssh other ctr load"],
  ],
  "seccomp explain": [
    ["What a container's program may do with a call, and why", "ctr seccomp explain clone"],
    [
      "With these arguments, in a container with more capabilities",
      "ctr seccomp explain --cap-add SYS_ADMIN socket 40",
    ],
    ["By a profile of one's own, for 32-bit programs", "ctr seccomp explain --profile web.json --arch x86 socket"],
  ],
  search: [["On Docker Hub", "ctr search -f is-official=true nginx"]],
  start: [
    ["A stopped container", "ctr start web"],
    ["And wait for its end with it", "ctr start -ai job"],
  ],
  stats: [
    ["Live", "ctr stats"],
    ["Once, for a script", "ctr stats --no-stream --format json"],
  ],
  stop: [["Ask, and after 30 seconds no longer ask", "ctr stop -t 30 web"]],
  "system df": [["What takes the space", "ctr system df"]],
  "system restore": [["Start again what ran before the machine went down", "ctr system restore"]],
  "system shutdown": [["Stop everything before the machine goes down", "ctr system shutdown"]],
  "system prune": [["Remove all that is not used", "ctr system prune -f"]],
  tag: [["Another name for an image", "ctr tag app:1 registry.example.com/team/app:1"]],
  top: [
    ["The processes of a container", "ctr top web"],
    ["With the columns of ps", "ctr top web -o pid,rss,args"],
  ],
  unpause: [["Let it go on", "ctr unpause web"]],
  update: [["More memory for a running container", "ctr update -m 512m web"]],
  version: [
    ["The version, in parts", "ctr version"],
    ["One of them", "ctr version -f '{{.Server.Version}}'"],
  ],
  "volume create": [["A volume with a label", "ctr volume create --label tier=db data"]],
  "volume inspect": [["Where its files are", "ctr volume inspect -f '{{.Mountpoint}}' data"]],
  "volume ls": [["Those that nobody uses", "ctr volume ls -f dangling=true"]],
  "volume prune": [["Remove unused ones, named ones too", "ctr volume prune -a -f"]],
  "volume rm": [["Remove one", "ctr volume rm data"]],
  "volume update": [["Of cluster volumes only", "ctr volume update data"]],
  wait: [["Until it ends; prints its exit status", "ctr wait job"]],
};

/** Names inside of a group that are said shorter, or otherwise, without it. */
const SHORTER: { readonly [path: string]: string } = {
  "container ls": "ps",
  "container list": "ps",
  "image ls": "images",
  "image list": "images",
  "image rm": "rmi",
  "image remove": "rmi",
  "container remove": "rm",
  "network list": "network ls",
  "network remove": "network rm",
  "volume list": "volume ls",
  "volume remove": "volume rm",
  "builder build": "build",
};

/** The examples for a command. */
export function examplesOf(path: readonly string[]): readonly Example[] {
  const whole = path.join(" ");
  const last = path.at(-1) ?? "";
  for (const name of [whole, SHORTER[whole] ?? whole, last]) {
    if (Object.hasOwn(EXAMPLES, name)) return EXAMPLES[name] ?? [];
  }
  return [];
}
