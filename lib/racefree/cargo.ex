defmodule Racefree.Cargo do
  # Runs cargo for a crate of ours, shows what it says, and reads diagnostics out of that.
  #
  # Cargo's text for people is read, not its JSON: it is what the terminal shows anyway, it has the messages of cargo itself (no network, a stale
  # lock file) beside those of the compiler, and no JSON parser comes with OTP 25. Left out on purpose: when to run, and what to do with the result.
  @moduledoc false

  alias Mix.Task.Compiler.Diagnostic
  alias Racefree.Cargo.Echo
  alias Racefree.NativeLibrary

  @type problem :: :none | {:broken, Path.t()} | {found :: String.t(), wanted :: String.t()}

  @doc "The path of a cargo that is as new as the workspace at `root` demands."
  @spec find(Path.t()) :: {:ok, Path.t()} | {:error, problem}
  def find(root) do
    with path when path != nil <- path(),
         {"cargo " <> version, 0} <- System.cmd(path, ["--version"], stderr_to_stdout: true) do
      [found | _] = String.split(version)
      wanted = rust_version(root)
      if numbers(found) >= numbers(wanted), do: {:ok, path}, else: {:error, {found, wanted}}
    else
      nil -> {:error, :none}
      {_, _} -> {:error, {:broken, path()}}
    end
  end

  # A fresh installation by rustup is not on `PATH` yet.
  defp path do
    home = System.get_env("CARGO_HOME") || in_home(".cargo")
    System.find_executable("cargo") || System.find_executable(Path.join(home, "bin/cargo"))
  end

  defp in_home(name), do: Path.join(System.user_home() || ".", name)

  @doc """
  What changes when another toolchain is installed or chosen, or nil without one.

  To ask cargo itself takes longer than everything else in a run that has nothing to do.
  """
  @spec toolchain() :: term
  def toolchain do
    if path = path() do
      rustup = System.get_env("RUSTUP_HOME") || in_home(".rustup")

      names = [
        "settings.toml",
        "update-hashes"
        | Enum.map(ls(Path.join(rustup, "update-hashes")), &Path.join("update-hashes", &1))
      ]

      for file <- [path | Enum.map(names, &Path.join(rustup, &1))],
          {:ok, stat} <- [File.stat(file, time: :posix)],
          do: {file, stat.size, stat.mtime}
    end
  end

  defp ls(folder) do
    case File.ls(folder) do
      {:ok, names} -> Enum.sort(names)
      {:error, _} -> []
    end
  end

  @doc "The oldest Rust that the workspace at `root` is meant for."
  @spec rust_version(Path.t()) :: String.t()
  def rust_version(root) do
    manifest = root |> Path.join("Cargo.toml") |> File.read!()
    [_, wanted] = Regex.run(~r/^rust-version = "([\d.]+)"/m, manifest)
    wanted
  end

  defp numbers(version),
    do:
      Regex.scan(~r/\d+/, version) |> Enum.take(2) |> Enum.map(fn [n] -> String.to_integer(n) end)

  @doc "Builds `crate` of the workspace at `root`, and shows cargo's words while it runs."
  @spec build(Path.t(), NativeLibrary.crate(), Path.t()) ::
          {:ok, Path.t(), [Diagnostic.t()]} | {:error, [Diagnostic.t()]}
  def build(cargo, crate, root) do
    profile = profile()
    folder = target_folder(root)
    colour = if IO.ANSI.enabled?(), do: "always", else: "never"
    # Locked: building a dependency must not change the dependency's checkout.
    arguments =
      ~w(build --locked --package #{crate} --profile #{profile} --color #{colour} --target-dir) ++
        [folder]

    {said, status} = System.cmd(cargo, arguments, cd: root, stderr_to_stdout: true, into: %Echo{})

    diagnostics = diagnostics(said, root)

    artifact =
      Path.join([
        folder,
        System.get_env("CARGO_BUILD_TARGET", ""),
        profile_folder(profile),
        NativeLibrary.artifact_name(crate)
      ])

    cond do
      status != 0 and Enum.any?(diagnostics, &(&1.severity == :error)) ->
        {:error, diagnostics}

      status != 0 ->
        {:error, diagnostics ++ [diagnostic(:error, "cargo failed with exit status #{status}")]}

      not File.exists?(artifact) ->
        {:error, [diagnostic(:error, no_artifact(artifact))]}

      true ->
        {:ok, artifact, diagnostics}
    end
  end

  @doc "Everything beside sources and tools that decides what cargo builds. A digest, for the environment may hold secrets."
  @spec settings(Path.t()) :: binary
  def settings(root) do
    environment =
      for {name, value} <- System.get_env(),
          String.starts_with?(name, ["CARGO_", "RUST"]),
          do: {name, value}

    :erlang.md5(:erlang.term_to_binary({profile(), target_folder(root), Enum.sort(environment)}))
  end

  # An unoptimized runtime would make every measurement of it a lie.
  defp profile, do: System.get_env("RACEFREE_CARGO_PROFILE", "release")

  defp profile_folder("dev"), do: "debug"
  defp profile_folder("test"), do: "debug"
  defp profile_folder("bench"), do: "release"
  defp profile_folder(profile), do: profile

  # One folder for all environments and for all projects that depend on this checkout: cargo locks it, and builds each thing once.
  defp target_folder(root), do: Path.expand(System.get_env("CARGO_TARGET_DIR") || "target", root)

  defp no_artifact(path) do
    "cargo has built the library, but it is not at #{path}\n" <>
      "If a configuration file of cargo sets `build.target`, set CARGO_BUILD_TARGET to the same."
  end

  @header ~r/^(error|warning)(?:\[(\w+)\])?: ./
  @place ~r/^ *--> (.+?):(\d+):(\d+)$/m
  # Counts of the diagnostics above them, and what follows from those.
  @echo ~r/^(warning: .* generated \d+ warnings?|warning: build failed, waiting|error: could not compile|error: aborting due to)/

  @doc "The errors and warnings in what cargo said."
  @spec diagnostics(String.t(), Path.t()) :: [Diagnostic.t()]
  def diagnostics(said, root) do
    said
    |> without_escapes()
    |> String.split("\n")
    |> Enum.chunk_while([], &chunk/2, &{:cont, Enum.reverse(&1), []})
    |> Enum.filter(&match?([_ | _], &1))
    |> Enum.filter(fn [first | _] -> first =~ @header and not (first =~ @echo) end)
    |> Enum.map(&parse(&1, root))
  end

  # A message runs from its header to an empty line or to cargo's next word; one without a place may have empty lines, and then only its head counts.
  defp chunk(line, block) do
    cond do
      line == "" or
          line =~ ~r/^ +(Compiling|Finished|Checking|Downloaded|Downloading|Blocking|Building) / ->
        {:cont, Enum.reverse(block), []}

      line =~ @header ->
        {:cont, Enum.reverse(block), [line]}

      true ->
        {:cont, [line | block]}
    end
  end

  defp parse([header | _] = lines, root) do
    text = lines |> Enum.join("\n") |> String.trim_trailing()
    [_, severity | code] = Regex.run(@header, header)
    severity = if severity == "error", do: :error, else: :warning

    case Regex.run(@place, text) do
      [_, path, line, column] ->
        place = {String.to_integer(line), String.to_integer(column)}

        %{
          diagnostic(severity, text)
          | file: Path.expand(path, root),
            position: place,
            details: List.first(code)
        }

      nil ->
        diagnostic(severity, text)
    end
  end

  @doc "A diagnostic about the build as a whole."
  @spec diagnostic(:error | :warning, String.t()) :: Diagnostic.t()
  def diagnostic(severity, message) do
    %Diagnostic{
      file: nil,
      severity: severity,
      message: message,
      position: 0,
      compiler_name: "racefree_native"
    }
  end

  defp without_escapes(text),
    do: String.replace(text, ~r/\e(\[[0-9;]*[A-Za-z]|\][^\e\a]*(\e\\|\a))/, "")
end
