defmodule Racefree.Lint.Sources do
  # Which files a run reads, as far as mix must know: to tell whether anything has changed.
  #
  # Invariant: a digest covers every file that can change a report, and may cover more. What is read in truth, with ignored files left out, is the
  # linter's knowledge.
  @moduledoc false

  @passed_over ~w(_build node_modules)
  @configuration "racefree.toml"

  @doc """
  The folder that is one program with the project that mix is compiling now.

  In an umbrella that is all of it: a process of one application may race with another one's.
  """
  @spec program() :: Path.t()
  def program do
    here = File.cwd!()
    # The applications of an umbrella share its folder of dependencies.
    around = Path.dirname(Mix.Project.deps_path())

    if String.starts_with?(here, around <> "/") and File.regular?(Path.join(around, "mix.exs")),
      do: around,
      else: here
  end

  @doc "Changes with every change of a file in `folder` that a run over it may read."
  @spec digest(Path.t()) :: binary
  def digest(folder) do
    configuration =
      for above <- ancestors(folder),
          path = Path.join(above, @configuration),
          File.regular?(path),
          do: path

    files =
      configuration ++ Enum.flat_map(configuration, &baseline/1) ++ files(folder, top?: true)

    files
    |> Enum.reduce(:erlang.md5_init(), fn path, context ->
      # A file that is gone by now has changed, too.
      bytes = with {:error, reason} <- File.read(path), do: {:ok, Atom.to_string(reason)}
      :erlang.md5_update(context, :erlang.term_to_binary({path, bytes}))
    end)
    |> :erlang.md5_final()
  end

  defp ancestors(folder) do
    case Path.dirname(folder) do
      ^folder -> [folder]
      above -> [folder | ancestors(above)]
    end
  end

  defp baseline(configuration) do
    case Regex.run(~r/^\s*baseline\s*=\s*["'](.*)["']/m, File.read!(configuration)) do
      [_, path] -> [Path.expand(path, Path.dirname(configuration))]
      nil -> []
    end
  end

  defp files(folder, top?: top?) do
    case File.ls(folder) do
      {:ok, names} ->
        for name <- Enum.sort(names),
            name = to_string(name),
            path = Path.join(folder, name),
            file <- entry(name, path, top?),
            do: file

      {:error, _} ->
        []
    end
  end

  defp entry(name, _path, _top?) when name in @passed_over, do: []
  defp entry(".gitignore", path, _top?), do: [path]
  defp entry("." <> _, _path, _top?), do: []
  # Those of a project; elsewhere it may be part of the program.
  defp entry("deps", path, top?), do: if(top?, do: [], else: folder(path))

  defp entry(name, path, _top?) do
    if Path.extname(name) in [".ex", ".exs"], do: [path], else: folder(path)
  end

  defp folder(path) do
    # The linter does not follow links either.
    case File.lstat(path) do
      {:ok, %{type: :directory}} -> files(path, top?: false)
      _ -> []
    end
  end
end
