defmodule Racefree.Native do
  # The functions of `native/racefree_nif`. Each says here what it is called and how many arguments it takes, and nothing else.
  @moduledoc false

  # Loaded when it is first called: its library is built after it is compiled.
  @compile {:autoload, false}
  @on_load :load

  def load do
    :erlang.load_nif(Racefree.NativeLibrary.load_path(:racefree_nif), 0)
  end

  @spec version() :: String.t()
  def version, do: :erlang.nif_error(:not_loaded)
end
