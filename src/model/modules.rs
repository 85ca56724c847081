//! The modules of a decoder one by one: the one walk over what it consists of, in a fixed order.

use super::attention::Attention;
use super::decoder::Decoder;
use super::layer::Layer;
use super::linear::Linear;
use super::mlp::Mlp;
use super::norm::Norm;
use super::param::{Param, Trained, collect};
use super::weight_table::{EMBEDDING, HEAD};

/// A module of a decoder.
#[derive(Clone, Copy)]
pub enum Module<'a> {
    /// The embedding or the head: the name of its weight, and the weight.
    Table(&'static str, &'a Param),
    Norm(&'a Norm),
    Linear(&'a Linear),
}

/// A module of a decoder, to be changed.
pub enum ModuleMut<'a> {
    Table(&'a mut Param),
    Norm(&'a mut Norm),
    Linear(&'a mut Linear),
}

impl Decoder {
    /// Every module, in the order in which the optimiser has them.
    pub fn modules(&self) -> Vec<Module<'_>> {
        let mut all = vec![Module::Table(EMBEDDING, &self.embedding)];
        for Layer { attention_norm, attention, mlp_norm, mlp } in &self.layers {
            let Attention { q, kv, o, norms, shape: _ } = attention;
            let Mlp { gate_up, down } = mlp;
            all.push(Module::Norm(attention_norm));
            all.extend([q, kv, o].map(Module::Linear));
            all.extend(norms.iter().flat_map(|norms| [&norms.q, &norms.k]).map(Module::Norm));
            all.push(Module::Norm(mlp_norm));
            all.extend([gate_up, down].map(Module::Linear));
        }
        all.push(Module::Norm(&self.final_norm));
        all.extend(self.lm_head.iter().map(|head| Module::Table(HEAD, head)));
        all
    }

    /// As [`Decoder::modules`].
    pub fn modules_mut(&mut self) -> Vec<ModuleMut<'_>> {
        let mut all = vec![ModuleMut::Table(&mut self.embedding)];
        for Layer { attention_norm, attention, mlp_norm, mlp } in &mut self.layers {
            let Attention { q, kv, o, norms, shape: _ } = attention;
            let Mlp { gate_up, down } = mlp;
            all.push(ModuleMut::Norm(attention_norm));
            all.extend([q, kv, o].map(ModuleMut::Linear));
            all.extend(norms.iter_mut().flat_map(|norms| [&mut norms.q, &mut norms.k]).map(ModuleMut::Norm));
            all.push(ModuleMut::Norm(mlp_norm));
            all.extend([gate_up, down].map(ModuleMut::Linear));
        }
        all.push(ModuleMut::Norm(&mut self.final_norm));
        all.extend(self.lm_head.iter_mut().map(ModuleMut::Table));
        all
    }

    /// Every linear of the layers, in order.
    pub fn linears(&self) -> impl Iterator<Item = &Linear> {
        self.modules().into_iter().filter_map(|module| match module {
            Module::Linear(linear) => Some(linear),
            Module::Table(..) | Module::Norm(_) => None,
        })
    }

    /// Every linear of the layers, in order, to be changed.
    pub fn linears_mut(&mut self) -> impl Iterator<Item = &mut Linear> {
        self.modules_mut().into_iter().filter_map(|module| match module {
            ModuleMut::Linear(linear) => Some(linear),
            ModuleMut::Table(_) | ModuleMut::Norm(_) => None,
        })
    }

    /// What is trained, in a fixed order.
    pub fn trained(&self) -> Vec<Trained<'_>> {
        let mut found = Vec::new();
        for module in self.modules() {
            match module {
                Module::Table(name, param) => collect(&mut found, || name.to_owned(), param, true),
                Module::Norm(norm) => {
                    collect(&mut found, || format!("{}.weight", norm.module), &norm.weight, false);
                }
                Module::Linear(linear) => trained_of_linear(linear, &mut found),
            }
        }
        found
    }
}

fn trained_of_linear<'a>(linear: &'a Linear, found: &mut Vec<Trained<'a>>) {
    let name = &linear.parts[0].module;
    collect(found, || format!("{name}.weight"), &linear.weight, true);
    if let Some(bias) = &linear.bias {
        collect(found, || format!("{name}.bias"), bias, false);
    }
    if let Some(lora) = &linear.lora {
        collect(found, || format!("{name}.lora_A"), &lora.a, true);
        for part in &lora.parts {
            let module = &linear.parts[part.part].module;
            collect(found, || format!("{module}.lora_B"), &part.b, true);
        }
    }
}
